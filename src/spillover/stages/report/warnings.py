"""What a reader must know before the numbers: what was run, and what changes how its result is to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillover.core.config import REAL_ARM
from spillover.core.languages import language
from spillover.core.runs import Run
from spillover.core.types import Evaluation, Finding
from spillover.stages.compare.format import area_span, points
from spillover.stages.compare.result import Outcome
from spillover.stages.compare.stage import training_languages
from spillover.stages.compare.verdict import auroc_loss
from spillover.stages.report.score_summaries import at_chance, one_label
from spillover.stats.summary import Summary

if TYPE_CHECKING:
    from spillover.stages.compare.result import Comparison

FEW_ITEMS = 100
NAMED = 4
REVIEWED = ("written", "written and reviewed by a native speaker", "machine-translated and reviewed")


@dataclass(frozen=True)
class Warned:
    """One warning. about: where on the page it is seen, an anchor."""

    text: str
    about: str = "before-after"


def facts(run: Run, held: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """(what, value) pairs: model, task, trained on, evaluated on, items, date. What is not known is left out."""
    trained = [language(code).name for code in training_languages(run)]
    counts = sorted({len(scores.gold) for one in held for scores in one.scores.values()})
    codes = dict.fromkeys(code for one in held for code in one.scores)
    tasks = dict.fromkeys([found.task for found in comparisons] or [one.task for one in held])
    items = "" if not counts else str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    arm = run.manifest()["stages"].get("build", {}).get("facts", {}).get("arm", "")
    found = {
        "Model": held[0].model.name if held else "",
        "Task": ", ".join(f"{task} ({held[0].label_set} label words)" if held else task for task in tasks),
        "Trained on": (", ".join(trained) + (f" ({arm})" if arm not in ("", REAL_ARM) else "")) if trained else "",
        "Evaluated in": f"{len(codes)} languages" if len(codes) > NAMED else _names(list(codes)),
        "Items a language": items,
        "Date": str(run.manifest()["created"])[:10],
    }
    return [(name, value) for name, value in found.items() if value]


def warnings(
    found: Comparison,
    after: Sequence[Summary],
    findings: Sequence[Finding] | None,
    wording: Sequence[dict[str, Any]],
) -> list[Warned]:
    """The warnings of one task, the gravest first. after: what the tuned model answers, empty without its scores."""
    return [*_of_data(found.task, findings), *_of_numbers(found, after), *_of_words(wording)]


def _of_data(task: str, findings: Sequence[Finding] | None) -> list[Warned]:
    errors = [row for row in findings or () if row.severity == "error" and row.task in (task, "")]
    if not errors:
        return []
    codes = list(dict.fromkeys(row.language for row in errors if row.language))
    many = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    where = f" ({_names(codes)})" if codes else ""
    return [
        Warned(f"The audit found {many} in the data{where}: scores of those languages mean something else.", "data")
    ]


def _of_numbers(found: Comparison, after: Sequence[Summary]) -> list[Warned]:
    rows = found.languages
    given = []
    if found.guard is not None and found.guard.lost:
        name, margin = language(found.guard.language).name, 100 * found.guard.margin
        given.append(
            Warned(
                f"{name} fell by {points(-found.guard.delta)[1:]} points, more than the {margin:g} that it may lose."
            )
        )
    if area := auroc_loss(found):
        name, change = language(area.codes).name, area_span(area.delta, area.low, area.high)
        given.append(Warned(f"{name}'s AUROC fell, {change}: the model discriminates less than before."))
    group = found.groups[(found.groups["metric"] == "accuracy") & found.groups["group"].isin(("all", "unseen"))]
    least = group.iloc[-1]
    if least["verdict"] == Outcome.UNDERPOWERED:
        given.append(
            Warned(
                f"Underpowered: only a mean change of {100 * least['detectable']:.1f} points would have been found. "
                "“Not shown” does not mean that nothing changed."
            )
        )
    if int(rows["n"].min()) < FEW_ITEMS:
        given.append(Warned(f"Few items: {int(rows['n'].min())} in a language say little of any one language."))
    if after:
        if codes := at_chance(after):
            given.append(
                Warned(
                    f"At chance: in {len(codes)} of {len(after)} languages ({_names(codes)}) the answers afterwards "
                    "are at chance (AUROC's interval covers 0.5).",
                    "answers",
                )
            )
        if codes := one_label(after):
            given.append(
                Warned(
                    f"In {_names(codes)} nearly all items get one and the same answer: accuracy then says how "
                    "frequent that label is. Read AUROC.",
                    "answers",
                )
            )
    return given


def _of_words(wording: Sequence[dict[str, Any]]) -> list[Warned]:
    rows = [row for table in wording for row in table["rows"] if row["provenance"] not in REVIEWED]
    if not rows:
        return []
    many = len({row["language"] for row in rows})
    where = _names([row["language"] for row in rows]) if many <= NAMED else f"{many} languages"
    return [Warned(f"Prompts in {where} are machine-translated and not reviewed by native speakers.", "wording")]


def _names(codes: Sequence[str]) -> str:
    names = [language(code).name for code in codes]
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
