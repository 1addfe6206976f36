"""Which figures of languages a run folder has tables for: name, chart and caption each. Reads tables alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.files import read_table
from spillover.core.languages import language
from spillover.core.runs import Run
from spillover.stages.report.charts import Figure, columns, of_all_models
from spillover.stages.report.language_charts import (
    alignment_heatmap,
    change_heatmap,
    identity_chart,
    items_chart,
    neurons_chart,
)

if TYPE_CHECKING:
    import pandas as pd

NULLS = (
    "what shuffled pairs, item length alone and, where it was run, the same architecture with random weights would give"
)

PROBED = {
    "alignment": ("language", "pooling", "layer", "measure", "value", "clears"),
    "identity": ("language", "pooling", "layer", "measure", "value", "low", "high"),
    "neurons": ("language", "layer", "count", "permuted", "clears"),
}
JOINED = {
    "alignment_changes": ("language", "pooling", "layer", "measure", "change", "bh_q", "after"),
    "items": ("language", "turned", "closer"),
}
HEADINGS = {
    "model": "Model", "language": "Language", "pooling": "Pooling", "layer": "Layer", "measure": "Measure",
    "before": "Before", "after": "After", "change": "Change", "value": "Value", "count": "Neurons", "low": "Low",
    "high": "High", "permuted": "Languages exchanged", "length": "Length alone", "random_weights": "Random weights",
    "p": "p", "bh_q": "q", "clears": "Clears its nulls",
}  # fmt: skip


def language_figures(run: Run) -> list[Figure]:
    """The figures that the run's tables allow, in the order of the page."""
    tables = {name: of_all_models(run, name, needed) for name, needed in PROBED.items()}
    joined = {name: _read(run, name, needed) for name, needed in JOINED.items()}
    figures = []
    if (aligned := tables["alignment"]) is not None:
        figures += _alignment(aligned)
    if (changes := joined["alignment_changes"]) is not None:
        figures.append(
            Figure(
                "alignment-change",
                change_heatmap(changes, "margin"),
                "Change in alignment: cosine of true pairs minus that of shuffled ones, after minus before. Grey: no "
                "change by a permutation test over items, after Benjamini-Hochberg over all cells. A minus stands "
                "where it fell.",
                _numbers(changes[changes["measure"] == "margin"]),
            )
        )
    if (items := joined["items"]) is not None:
        figures.append(
            Figure(
                "flipped-predictions",
                items_chart(items),
                "How far items moved, by whether their predictions flipped: mean and standard error per language. "
                "Where the colours are separated, moving and flipping go together; which causes which this cannot say.",
                _flip_counts(items),
            )
        )
    if (identity := tables["identity"]) is not None:
        figures.append(
            Figure(
                "language-identity",
                identity_chart(identity, "weighted"),
                "How well a layer identifies the language (items never seen by the probe), beside its nulls. Random "
                "weights identify it too: other tokens are other states.",
                _numbers(identity[(identity["pooling"] == "weighted") & (identity["language"] == "")]),
            )
        )
    if (neurons := tables["neurons"]) is not None and (chart := neurons_chart(neurons)) is not None:
        figures.append(
            Figure(
                "language-neurons",
                chart,
                "Language-specific neurons (LAPE) by layer, all languages together. Orange: as many are found when "
                "languages are exchanged within groups of items; grey: not above the 95th percentile of that.",
                _numbers(neurons),
            )
        )
    return figures


def _alignment(table: pd.DataFrame) -> list[Figure]:
    measures = {
        "mexa": "MEXA: share of items nearer to their own translation than to any other, both ways",
        "cka": "Debiased CKA: whether the items have the same shape, up to rotation",
    }
    pooling = "weighted"
    return [
        Figure(
            f"alignment-{measure}",
            alignment_heatmap(table, measure, pooling),
            f"{text}; each language against English, by layer (position-weighted mean over the item's tokens). Grey: "
            f"not above the 95th percentile of {NULLS}.",
            _numbers(table[(table["measure"] == measure) & (table["pooling"] == pooling)]),
        )
        for measure, text in measures.items()
    ]


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    names = ["all" if code == "" else language(code).name for code in table["language"]]
    return columns(table.assign(language=names), HEADINGS)


def _flip_counts(items: pd.DataFrame) -> pd.DataFrame:
    """Counts and means of what the chart of flipped predictions draws."""
    turned = items["turned"].map({"right": "newly correct", "wrong": "newly wrong", "": "not flipped"})
    names = [language(code).name for code in items["language"]]
    moves = [name for name in ("closer", "earlier") if name in items]
    groups = items.assign(turned=turned, name=names).groupby(["name", "turned"], sort=False)
    found = groups[moves].mean().assign(items=groups.size()).reset_index()
    heads = {"name": "Language", "turned": "Predictions", "items": "Items", "closer": "Moved closer (mean)"}
    return columns(found, heads | {"earlier": "Led earlier (mean, layers)"})


def _read(run: Run, name: str, needed: tuple[str, ...]) -> pd.DataFrame | None:
    path = run.path / "compare" / f"{name}.parquet"
    return read_table(path, needed) if path.exists() else None
