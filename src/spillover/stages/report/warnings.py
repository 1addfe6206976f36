"""What a reader must know before the numbers: what was run, and what changes how its result is to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from spillover.core.languages import language
from spillover.core.runs import Run
from spillover.core.types import Evaluation, Finding, Kind
from spillover.models.registry import packaged_models
from spillover.stages.build.arms import REAL_ARM
from spillover.stages.compare.format import area_span, points
from spillover.stages.compare.result import Comparison, Outcome, Topic
from spillover.stages.compare.stage import training_languages
from spillover.stages.compare.verdict import auroc_loss
from spillover.stages.report.multi_run import arm_of
from spillover.stages.report.provenance import WordingRow
from spillover.stats.summary import Summary, n_clusters

FEW_ITEMS = 100
MAX_NAMES = 4
# A label predicted for more of the items than this: accuracy is then mostly the share of that label.
NEARLY_ALL = 0.95
REVIEWED = ("written", "written and reviewed by a native speaker", "machine-translated and reviewed")


@dataclass(frozen=True)
class PageWarning:
    """One warning. anchor: the section of the page that shows what it is about."""

    text: str
    anchor: str = "before-after"


def run_facts(run: Run, evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Model, licence of a packaged one, task, trained on, evaluated in, items, date. What is not known is left out."""
    codes = list(dict.fromkeys(code for evaluation in evaluations for code in evaluation.scores))
    counts = sorted({len(scores.gold) for evaluation in evaluations for scores in evaluation.scores.values()})
    clusters = sorted({n_clusters(own) for side in evaluations for own in side.scores.values() if own.clusters})
    tasks = dict.fromkeys(side.task for side in comparisons or evaluations)
    label_sets = {evaluation.task: evaluation.label_set for evaluation in evaluations}
    arm = arm_of(run)
    trained_on = ", ".join(language(code).name for code in training_languages(run))
    name = evaluations[0].model.name if evaluations else ""
    packaged = packaged_models().get(name)
    facts = {
        "Model": name,
        "Licence": f"{packaged.licence}, {packaged.terms}" if packaged else "",
        "Task": ", ".join(f"{task}{_asked_for(label_sets.get(task, ''))}" for task in tasks),
        "Trained on": f"{trained_on} ({arm})" if trained_on and arm not in ("", REAL_ARM) else trained_on,
        "Evaluated in": f"{len(codes)} languages" if len(codes) > MAX_NAMES else _names(codes),
        "Items a language": _span(counts) + _part(run),
        "Clusters a language": _span(clusters),
        "Date": str(run.manifest()["created"])[:10],
    }
    return {name: value for name, value in facts.items() if value}


def _span(counts: Sequence[int]) -> str:
    """`40`, or `40 to 60`; empty without counts."""
    return " to ".join(str(count) for count in dict.fromkeys((*counts[:1], *counts[-1:])))


def _part(run: Run) -> str:
    """Which part of all items was scored, where a fold was."""
    folds = sorted({side.record.get("settings", {}).get("fold", "") for side in run.evaluations()} - {""})
    return f" (fold {', '.join(folds)} of all items)" if folds else ""


def _asked_for(label_set: str) -> str:
    """What a model chose between, in brackets."""
    if not label_set:
        return ""
    return f" ({label_set})" if label_set in get_args(Kind) else f" ({label_set} label words)"


def warnings(
    comparison: Comparison, after: Sequence[Summary], findings: Sequence[Finding] | None, wordings: Sequence[WordingRow]
) -> list[PageWarning]:
    """The warnings of one task, the gravest first. after: summaries of the tuned model, empty without its scores."""
    return [
        *(PageWarning(sentence.text) for sentence in comparison.about(Topic.NOTE)),
        *_data_warnings(comparison.task, findings or ()),
        *_change_warnings(comparison),
        *_prediction_warnings(after),
        *_wording_warnings(wordings),
    ]


def _data_warnings(task: str, findings: Sequence[Finding]) -> Iterator[PageWarning]:
    errors = [finding for finding in findings if finding.severity == "error" and finding.task in (task, "")]
    if not errors:
        return
    codes = list(dict.fromkeys(finding.language for finding in errors if finding.language))
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    where = f" ({_names(codes)})" if codes else ""
    yield PageWarning(
        f"The audit found {count} in the data{where}: scores of those languages mean something else.", "data"
    )


def _change_warnings(comparison: Comparison) -> Iterator[PageWarning]:
    guard = comparison.guard
    if guard is not None and guard.lost:
        yield PageWarning(
            f"{language(guard.language).name} fell by {points(-guard.delta)[1:]} points, more than the margin of "
            f"{100 * guard.margin:g}."
        )
    if loss := auroc_loss(comparison):
        name, change = language(loss.codes).name, area_span(loss.delta, loss.low, loss.high)
        yield PageWarning(f"{name}'s AUROC fell, {change}: the model discriminates less than before.")
    groups = comparison.groups
    measure = comparison.measure
    row = groups[(groups["metric"] == measure.metric) & groups["group"].isin(("all", "unseen"))].iloc[-1]
    if row["verdict"] == Outcome.UNDERPOWERED:
        yield PageWarning(
            f"Underpowered: only a mean change of {measure.size(row['detectable'])} would have been found. "
            "“Not shown” does not mean that nothing changed."
        )
    fewest = int(comparison.languages["n"].min())
    if fewest < FEW_ITEMS:
        yield PageWarning(f"Few items: {fewest} in a language say little of any one language.")


def _prediction_warnings(after: Sequence[Summary]) -> Iterator[PageWarning]:
    if codes := [summary.language for summary in after if summary.at_chance]:
        yield PageWarning(
            f"At chance: in {len(codes)} of {len(after)} languages ({_names(codes)}) the predictions afterwards cannot "
            "be distinguished from guesses (the interval of AUROC, or of accuracy where that is all there is, contains "
            "chance).",
            "answers",
        )
    if codes := [row.language for row in after if row.predicted and max(row.predicted.values()) > NEARLY_ALL]:
        yield PageWarning(
            f"In {_names(codes)} nearly all items get the same prediction: accuracy then says how frequent that label "
            "is. Read AUROC.",
            "answers",
        )


def _wording_warnings(wordings: Sequence[WordingRow]) -> Iterator[PageWarning]:
    codes = list(dict.fromkeys(row.language for row in wordings if row.provenance not in REVIEWED))
    if codes:
        where = _names(codes) if len(codes) <= MAX_NAMES else f"{len(codes)} languages"
        yield PageWarning(f"Prompts in {where} are machine-translated and not reviewed by native speakers.", "wording")


def _names(codes: Sequence[str]) -> str:
    names = [language(code).name for code in codes]
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
