"""The headline of a comparison: what was claimed, whether it holds, and why. Read from the comparison's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from spillover.core.languages import UNKNOWN_LANGUAGE, language
from spillover.core.tables import records
from spillover.stages.build.arms import REAL_ARM
from spillover.stages.compare.format import area_span, points
from spillover.stages.compare.measures import AUROC, Measure
from spillover.stages.compare.result import Answer, Comparison, GroupChange, Outcome, Sentence, Topic
from spillover.stages.compare.verdict import auroc_loss, untested_reason
from spillover.stats.contributions import METRICS

NAMED = 5


def with_headline(comparison: Comparison, arm: str = "") -> Comparison:
    """The comparison with its headline before all other sentences; an earlier headline is replaced. arm: see
    `headline`."""
    rest = tuple(sentence for sentence in comparison.verdict if sentence.about != Topic.HEADLINE)
    return replace(comparison, verdict=(headline(comparison, arm), *rest))


def headline(comparison: Comparison, arm: str = "") -> Sentence:
    """Claim, answer and reasons in one sentence, about the unseen languages where there are any, else about all, by the
    primary measure.

    arm: the name of the first run's arm, where there are several runs. With several seeds the pooled test answers."""
    group = "unseen" if (comparison.groups["group"] == "unseen").any() else "all"
    by_metric = {
        metric: pooled_over_seeds(comparison, arm, comparison.group_change(group, metric)) for metric in METRICS
    }
    measure, change = comparison.measure, by_metric[comparison.measure.metric]
    answer, reasons = _answer(comparison, by_metric)
    if answer.positive and _placebos(comparison, group, beaten=False):
        answer = Answer.NOT_BEATEN
    reasons = [
        _change(measure, change),
        *reasons,
        *_placebo_reasons(comparison, group, arm),
        *_misread(comparison),
        *_reference_losses(comparison),
    ]
    claim = _claim(comparison, change)
    measured_by = ", ".join(filter(None, (measure.title, comparison.chosen)))
    text = f"Claim: {claim}. Measured by {measured_by}. "
    text += f"Does it hold? {answer.value[0].upper()}{answer.value[1:]}: {'; '.join(reasons)}."
    numbers = {"claim": claim, "measure": measured_by, "answer": answer.value, "why": reasons, "group": group}
    return Sentence(Topic.HEADLINE, text, numbers)


def pooled_over_seeds(comparison: Comparison, arm: str, change: GroupChange) -> GroupChange:
    """A group's change, with the pooled estimate in place of the first seed's where the arm has several seeds."""
    if comparison.seeds is None:
        return change
    for row in records(comparison.seeds):
        if (row["arm"], row["group"], row["metric"]) == (arm, change.group, change.metric):
            pooled = {name: row[name] for name in ("seeds", "delta", "low", "high", "p", "detectable")}
            return replace(change, verdict=Outcome(row["verdict"]), **pooled)
    return change


def _change(measure: Measure, change: GroupChange) -> str:
    interval = "" if change.verdict == Outcome.UNDEFINED else f" ({measure.span(change.low, change.high)})"
    delta = f"{measure.change(change.delta)}{interval}"
    if change.seeds > 1:
        return f"over {change.seeds} seeds {measure.title} {delta}"
    return f"{measure.title} {measure.before_after(change.before, change.after)}, {delta}"


def _claim(comparison: Comparison, change: GroupChange) -> str:
    codes = change.codes.split()
    if codes == [UNKNOWN_LANGUAGE]:
        return f"{comparison.task} improves"
    where = f"{len(codes)} unseen languages" if change.group == "unseen" else f"{len(codes)} languages"
    where = language(codes[0]).name if len(codes) == 1 else where
    names = [language(code).name for code in comparison.seen]
    if not names:
        return f"{comparison.task} improves in {where}"
    listed = ", ".join(names) if len(names) <= NAMED else f"{len(names)} languages"
    return f"training on {listed} improves {comparison.task} in {where}"


def _answer(comparison: Comparison, by_metric: Mapping[str, GroupChange]) -> tuple[Answer, list[str]]:
    """(the answer, its reasons beside the change in the primary measure). by_metric: the group's changes."""
    measure = comparison.measure
    change = by_metric[measure.metric]
    if change.verdict == Outcome.UNDEFINED:
        return Answer.UNTESTED, [untested_reason(comparison, change), *_secondary(comparison, by_metric)]
    detectable = f"the minimum detectable change is {measure.size(change.detectable)}"
    if change.verdict == Outcome.UNDERPOWERED:
        return Answer.UNDERPOWERED, [detectable, *_beside_no_change(comparison, by_metric)]
    if change.verdict == Outcome.NO_EVIDENCE:
        return Answer.NOT_SHOWN, [detectable, *_beside_no_change(comparison, by_metric)]
    if measure.label_bias:
        return _answer_of_accuracy(comparison, by_metric)
    reasons = _secondary(comparison, by_metric)
    if change.verdict == Outcome.WORSE:
        return Answer.WORSE, reasons
    return (Answer.MISLEADING if by_metric[AUROC.metric].verdict == Outcome.WORSE else Answer.YES), reasons


def _beside_no_change(comparison: Comparison, by_metric: Mapping[str, GroupChange]) -> list[str]:
    """The secondary measures beside a primary one that is not shown to change; of accuracy, a fall of AUROC alone."""
    if not comparison.measure.label_bias:
        return _secondary(comparison, by_metric)
    area = by_metric[AUROC.metric]
    if area.verdict != Outcome.WORSE:
        return []
    return [f"the model discriminates less, AUROC {area_span(area.delta, area.low, area.high)}"]


def _secondary(comparison: Comparison, by_metric: Mapping[str, GroupChange]) -> list[str]:
    """The changes of the secondary measures, as one reason; none where they are undefined too."""
    changes = [(measure, by_metric[measure.metric]) for measure in comparison.secondary]
    listed = [
        f"{measure.title} {measure.change_with_interval(row.delta, row.low, row.high)}"
        for measure, row in changes
        if not math.isnan(row.delta)
    ]
    return [f"secondary: {', '.join(listed)}"] if listed else []


def _answer_of_accuracy(comparison: Comparison, by_metric: Mapping[str, GroupChange]) -> tuple[Answer, list[str]]:
    """(the answer, its reasons) where accuracy is the primary measure, and changed: which component of it rose."""
    change, calibrated, bias, area = (by_metric[metric] for metric in METRICS)
    if calibrated.verdict == Outcome.UNDEFINED:
        reasons = [comparison.no_components]
        return (Answer.WORSE if change.verdict == Outcome.WORSE else Answer.ACCURACY_ALONE), reasons
    reasons = [
        f"of that, {points(bias.delta)} is the label-bias component and {points(calibrated.delta)} the calibrated "
        "component",
        f"AUROC {area_span(area.delta, area.low, area.high)}",
    ]
    if change.verdict == Outcome.WORSE:
        return Answer.WORSE, reasons
    if Outcome.WORSE in (calibrated.verdict, area.verdict):
        return Answer.MISLEADING, reasons
    if calibrated.verdict == area.verdict == Outcome.IMPROVED:
        return Answer.YES, reasons
    if bias.verdict == Outcome.IMPROVED != calibrated.verdict:
        return Answer.LABEL_BIAS_ALONE, reasons
    return Answer.UNEXPLAINED, reasons


def _placebos(comparison: Comparison, group: str, *, beaten: bool) -> list[str]:
    """The arms that the first one beats in this group, or those it does not."""
    if comparison.contrasts is None:
        return []
    table = comparison.contrasts
    table = table[(table["group"] == group) & (table["metric"] == comparison.measure.metric)]
    return list(table.loc[(table["verdict"] == Outcome.IMPROVED.value) == beaten, "against"])


def _placebo_reasons(comparison: Comparison, group: str, arm: str) -> list[str]:
    if comparison.contrasts is None:
        return (
            ["no placebo arm was compared, so nothing attributes the change to translation"] if comparison.seen else []
        )
    reasons = []
    if arm != REAL_ARM and REAL_ARM in set(comparison.contrasts["against"]):
        reasons.append(f"the first run is the placebo {arm}: name the {REAL_ARM} run first for the verdict on it")
    if names := _placebos(comparison, group, beaten=True):
        reasons.append(f"it beats {_arms(names)}")
    if names := _placebos(comparison, group, beaten=False):
        reasons.append(f"it is not shown to beat {_arms(names)}")
    return reasons


def _arms(names: list[str]) -> str:
    return f"the other {'arm' if len(names) == 1 else 'arms'} {', '.join(names)}"


def _misread(comparison: Comparison) -> list[str]:
    names = [language(code).name for sentence in comparison.about(Topic.MISREAD) for code in sentence.numbers]
    if not names:
        return []
    rest = len(names) - NAMED
    listed = ", ".join(names[:NAMED]) + f" and {rest} more" if rest > 1 else ", ".join(names)
    return [f"accuracy and AUROC moved in opposite directions in {listed}"]


def _reference_losses(comparison: Comparison) -> list[str]:
    if comparison.guard is None:
        return []
    name = language(comparison.guard.language).name
    reasons = []
    if comparison.guard.lost:
        reasons.append(f"{name} lost more than {100 * comparison.guard.margin:g} points")
    if area := auroc_loss(comparison):
        reasons.append(f"{name}'s AUROC fell, {area_span(area.delta, area.low, area.high)}")
    return reasons
