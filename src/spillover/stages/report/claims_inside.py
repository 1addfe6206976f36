"""Claims on hidden states, from the tables of probe and compare of one run, language by language.

lens        The model passes through the reference language: at some layer before the last, the right label word of the
            reference language is more probable than the language's own, than random words of as many tokens, and than
            the reference language's other label words. Intervals do not overlap. The claim is about the base; the
            tuned model stands beside it. It needs a run that asks in the languages' own label words.
alignment   Tuning brings the states of translations together: in languages that were not trained on, the cosine of true
            pairs minus that of shuffled ones rises at some layer and falls at none (a permutation test over items,
            Benjamini-Hochberg over languages and layers).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from spillover.core.languages import language, reference_language
from spillover.core.runs import Run
from spillover.stages.compare.stage import training_languages
from spillover.stages.report.charts import with_names
from spillover.stages.report.run_tables import read_compare_table, read_probe_tables

if TYPE_CHECKING:
    import pandas as pd

Inside = Literal["lens", "alignment"]
LENS = (
    "language", "words", "layer", "answer_sequence", "answer_sequence_low", "answer_sequence_high",
    "wrong_sequence_high", "answer_sequence_clears",
)  # fmt: skip
POOLING, PAPERS_POOLING = "weighted", "all"
Q = 0.05


class TextTable(NamedTuple):
    """Column headings, and rows whose first cell names them."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class InsideTest:
    """A claim tested in each language. yes, of: in how many it holds, and how many were tested. why: in words. table: a
    row for each language."""

    yes: int
    of: int
    why: str
    table: TextTable


def inside_test(run: Run, inside: Inside) -> InsideTest | None:
    """The claim of this kind on the run's tables; None where it was not probed, or not compared."""
    return _lens(run) if inside == "lens" else _alignment(run)


def _lens(run: Run) -> InsideTest | None:
    lens = read_probe_tables(run, "lens", LENS)
    if lens is None or "base" not in set(lens["model"]):
        return None
    inner = lens[lens["layer"].between(1, lens["layer"].max() - 1) & (lens["language"] != reference_language())]
    reference = language(reference_language()).name
    layers = {model: _reference_layers(rows) for model, rows in with_names(inner).groupby("model", sort=False)}
    names = list(layers.get("base", ()))
    through = [name for name in names if layers["base"][name][1]]
    above = [name for name in names if layers["base"][name][0]]
    models = [model for model in ("base", "tuned") if model in layers]
    rows = tuple(
        (name, *(ranges(own) for model in models for own in layers[model].get(name, ((), ())))) for name in names
    )
    header = ["language"]
    for model in models:
        header += [f"{model}: {reference} above own and random words", f"{model}: and above wrong {reference} words"]
    why = (
        f"in {len(through)} of {len(names)} languages the right {reference} word is, at some layer before the last, "
        f"more probable than the language's own, random words and the wrong {reference} words; in {len(above)} it is "
        "more probable than the first two"
    )
    return InsideTest(len(through), len(names), why, TextTable(tuple(header), rows))


def _reference_layers(rows: pd.DataFrame) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """By language, the layers at which the right reference word is above the language's own and above random words, and
    those of them at which it is above the wrong reference words too. Languages that have both target sets."""
    asked = rows[rows["words"] == "reference"]
    own = rows[rows["words"] == "native"][["name", "layer", "answer_sequence_high"]]
    both = asked.merge(own, on=["name", "layer"], suffixes=("", "_own")).sort_values(["name", "layer"])
    low = both["answer_sequence_low"]
    above = (low > both["answer_sequence_high_own"]) & both["answer_sequence_clears"].astype(bool)
    right = above & (low > both["wrong_sequence_high"])
    return {
        str(name): (tuple(cells["layer"][above[cells.index]]), tuple(cells["layer"][right[cells.index]]))
        for name, cells in both.groupby("name", sort=False)
    }


def _alignment(run: Run) -> InsideTest | None:
    changes = read_compare_table(
        run, "alignment_changes", ("language", "other", "pooling", "layer", "measure", "before", "change", "bh_q")
    )
    if changes is None:
        return None
    trained = training_languages(run)
    cells = changes[
        (changes["measure"] == "margin")
        & (changes["pooling"] == POOLING)
        & (changes["other"] == reference_language())
        & ~changes["language"].isin(trained)
    ]
    rows, risen, fallen, yes = [], 0, 0, 0
    for name, own in with_names(cells).groupby("name", sort=False):
        moved = own[own["bh_q"] < Q].sort_values("layer")
        rose, fell = (moved[moved["change"] * sign > 0] for sign in (1, -1))
        risen, fallen = risen + (not rose.empty), fallen + (not fell.empty)
        yes += not rose.empty and fell.empty
        rows.append((str(name), *(part for own in (rose, fell) for part in (ranges(own["layer"]), _largest(own)))))
    why = (
        f"in {yes} of {len(rows)} languages that were not trained on, translations come nearer at some layer and part "
        f"at none; in {risen} they come nearer at some layer, in {fallen} they part at some"
    )
    margin = "the margin (cosine of translations minus that of other pairs)"
    header = ("language", f"layers where {margin} rises", "most", "layers where it falls", "most")
    return InsideTest(yes, len(rows), why + _first_component(run), TextTable(header, tuple(rows)))


def _largest(moved: pd.DataFrame) -> str:
    """The largest change of the margin, as a share of what it was before: `+12 % at layer 11`."""
    if moved.empty:
        return "–"
    shares = moved["change"].to_numpy() / moved["before"].abs().to_numpy()
    most = int(np.abs(shares).argmax())
    return f"{100 * shares[most]:+.0f} % at layer {moved['layer'].to_numpy()[most]}"


def _first_component(run: Run) -> str:
    """The paper's measure beside what text length alone gives, in words; "" where it is not in the run."""
    pairs = read_probe_tables(run, "pca_pairs", ("pooling", "layer", "correlation", "length"))
    if pairs is None or not {"base", "tuned"} <= set(pairs["model"]):
        return ""
    papers = pairs[pairs["pooling"] == PAPERS_POOLING]
    before, after = (papers[papers["model"] == model]["correlation"].mean() for model in ("base", "tuned"))
    length = papers[papers["model"] == "base"]["length"].mean()
    return (
        f"; the paper's correlation of PC1 between languages, mean over layers, is {before:.2f} before and {after:.2f} "
        f"after, where text length alone gives {length:.2f}"
    )


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in rising order as `1, 4–7`; a dash for none."""
    parts: list[list[int]] = []
    for number in map(int, numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts) or "–"
