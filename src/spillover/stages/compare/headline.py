"""The headline of a comparison: what was claimed, whether it holds, and why. Read from the comparison's tables."""

from __future__ import annotations

from dataclasses import replace

from spillover.core.languages import UNKNOWN_LANGUAGE, language
from spillover.core.tables import records
from spillover.stages.build.arms import REAL_ARM
from spillover.stages.compare.format import area_span, percent, points, size, span
from spillover.stages.compare.result import Answer, Comparison, GroupChange, Outcome, Sentence, Topic
from spillover.stages.compare.verdict import auroc_loss

NAMED = 5


def with_headline(comparison: Comparison, arm: str = "") -> Comparison:
    """The comparison with its headline before all other sentences; an earlier headline is replaced. arm: see
    `headline`."""
    rest = tuple(sentence for sentence in comparison.verdict if sentence.about != Topic.HEADLINE)
    return replace(comparison, verdict=(headline(comparison, arm), *rest))


def headline(comparison: Comparison, arm: str = "") -> Sentence:
    """Claim, answer and reasons in one sentence, about the unseen languages where there are any, else about all.

    arm: the name of the first run's arm, where there are several runs. With several seeds the pooled test answers."""
    group = "unseen" if (comparison.groups["group"] == "unseen").any() else "all"
    change, calibrated, bias, area = (
        pooled_over_seeds(comparison, arm, comparison.group_change(group, metric))
        for metric in ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
    )
    answer, reasons = _answer(change, calibrated, bias, area, comparison.no_components)
    if answer.positive and _placebos(comparison, group, beaten=False):
        answer = Answer.NOT_BEATEN
    reasons = [
        _accuracy(change),
        *reasons,
        *_placebo_reasons(comparison, group, arm),
        *_misread(comparison),
        *_reference_losses(comparison),
    ]
    claim = _claim(comparison, change)
    text = f"Claim: {claim}. Does it hold? {answer.value[0].upper()}{answer.value[1:]}: {'; '.join(reasons)}."
    return Sentence(Topic.HEADLINE, text, {"claim": claim, "answer": answer.value, "why": reasons, "group": group})


def pooled_over_seeds(comparison: Comparison, arm: str, change: GroupChange) -> GroupChange:
    """A group's change, with the pooled estimate in place of the first seed's where the arm has several seeds."""
    if comparison.seeds is None:
        return change
    for row in records(comparison.seeds):
        if (row["arm"], row["group"], row["metric"]) == (arm, change.group, change.metric):
            pooled = {name: row[name] for name in ("seeds", "delta", "low", "high", "p", "detectable")}
            return replace(change, verdict=Outcome(row["verdict"]), **pooled)
    return change


def _accuracy(change: GroupChange) -> str:
    interval = "" if change.verdict == Outcome.UNDEFINED else f" ({span(change.low, change.high)})"
    if change.seeds > 1:
        return f"over {change.seeds} seeds accuracy {points(change.delta)}{interval}"
    return f"accuracy {percent(change.before)} → {percent(change.after)} %, {points(change.delta)}{interval}"


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


def _answer(
    change: GroupChange, calibrated: GroupChange, bias: GroupChange, area: GroupChange, no_components: str
) -> tuple[Answer, list[str]]:
    """(the answer, its reasons beside the change in accuracy). no_components: why there may be only accuracy."""
    if change.verdict == Outcome.UNDEFINED:
        return Answer.UNTESTED, ["there is one item, or one cluster"]
    detectable = f"the minimum detectable change is {size(change.detectable)}"
    area_text = area_span(area.delta, area.low, area.high)
    area_fell = [f"the model discriminates less, AUROC {area_text}"] if area.verdict == Outcome.WORSE else []
    if change.verdict == Outcome.UNDERPOWERED:
        return Answer.UNDERPOWERED, [detectable, *area_fell]
    if change.verdict == Outcome.NO_EVIDENCE:
        return Answer.NOT_SHOWN, [detectable, *area_fell]
    if calibrated.verdict == Outcome.UNDEFINED:
        reasons = [no_components]
        return (Answer.WORSE if change.verdict == Outcome.WORSE else Answer.ACCURACY_ALONE), reasons
    reasons = [
        f"of that, {points(bias.delta)} is the label-bias component and {points(calibrated.delta)} the calibrated "
        "component",
        f"AUROC {area_text}",
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
    table = table[(table["group"] == group) & (table["metric"] == "accuracy")]
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
