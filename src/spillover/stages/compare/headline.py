"""The first thing a reader sees: what was claimed, whether it holds, and why. Read from the tables of a comparison."""

from __future__ import annotations

from typing import Any

from spillover.core.config import REAL_ARM
from spillover.core.languages import UNKNOWN_LANGUAGE, language
from spillover.stages.compare.format import Row, area_span, percent, pick, points, records, span
from spillover.stages.compare.result import Answer, Comparison, Outcome, Sentence, Topic
from spillover.stages.compare.verdict import area_lost

NAMED = 5


def headline(comparison: Comparison, arm: str = "") -> Sentence:
    """Claim, answer and reason in one sentence each, about the unseen languages where there are any, else about all.

    arm: the name of the first run's arm, where there are several runs. With several seeds the pooled test answers."""
    group = "unseen" if (comparison.groups["group"] == "unseen").any() else "all"
    metrics = ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
    row, calibrated, bias, area = (
        _pooled(comparison, arm, pick(comparison.groups, group, metric)) for metric in metrics
    )
    answer, why = _answer(row, calibrated, bias, area)
    interval = "" if row["verdict"] == Outcome.UNDEFINED else f" ({span(row)})"
    change = f"accuracy {percent(row['before'])} → {percent(row['after'])} %, {points(row['delta'])}{interval}"
    if "seeds" in row:
        change = f"over {row['seeds']} seeds accuracy {points(row['delta'])}{interval}"
    reasons = [change, *why, *_beaten(comparison, group, arm)]
    if answer.positive and _placebos(comparison, group, beaten=False):
        answer = Answer.NOT_BEATEN
    reasons += _misleading(comparison) + _reference(comparison)
    claim = _claim(comparison, row)
    text = f"Claim: {claim}. Does it hold? {answer.value[0].upper()}{answer.value[1:]}: {'; '.join(reasons)}."
    return Sentence(
        Topic.HEADLINE.value, text, {"claim": claim, "answer": answer.value, "why": reasons, "group": group}
    )


def _pooled(comparison: Comparison, arm: str, row: Row) -> dict[str, Any]:
    """A group's row, with the estimate of all seeds in place of the first one's where the arm has several."""
    own = dict(row)
    if comparison.seeds is not None:
        rows = comparison.seeds[(comparison.seeds["arm"] == arm) & (comparison.seeds["group"] == row["group"])]
        for pooled in records(rows[rows["metric"] == row["metric"]]):
            own |= {key: pooled[key] for key in ("seeds", "delta", "low", "high", "verdict", "detectable")}
    return own


def _claim(comparison: Comparison, row: Row) -> str:
    codes = row["codes"].split()
    if codes == [UNKNOWN_LANGUAGE]:
        return f"{comparison.task} improves"
    where = f"{len(codes)} unseen languages" if row["group"] == "unseen" else f"{len(codes)} languages"
    where = language(codes[0]).name if len(codes) == 1 else where
    names = [language(code).name for code in comparison.seen]
    named = ", ".join(names) if len(names) <= NAMED else f"{len(names)} languages"
    return (
        f"training on {named} improves {comparison.task} in {where}"
        if names
        else f"{comparison.task} improves in {where}"
    )


def _answer(change: Row, calibrated: Row, bias: Row, area: Row) -> tuple[Answer, list[str]]:
    """(the answer, what explains it beside the change in accuracy)."""
    if change["verdict"] == Outcome.UNDEFINED:
        return Answer.UNTESTED, ["there is one item"]
    least = f"{100 * change['detectable']:.1f} points"
    less = [f"the model discriminates less, AUROC {area_span(area)}"] if area["verdict"] == Outcome.WORSE else []
    if change["verdict"] == Outcome.UNDERPOWERED:
        return Answer.UNDERPOWERED, [f"only a change of {least} would be found", *less]
    if change["verdict"] == Outcome.NO_EVIDENCE:
        return Answer.NOT_SHOWN, [f"a change of {least} or more would have been found", *less]
    if calibrated["verdict"] == Outcome.UNDEFINED:
        reasons = ["these scores do not say what part is label bias"]
        return (Answer.WORSE if change["verdict"] == Outcome.WORSE else Answer.ACCURACY_ALONE), reasons
    reasons = [
        f"of that, {points(bias['delta'])} is label bias and {points(calibrated['delta'])} is discrimination",
        f"AUROC {area_span(area)}",
    ]
    if change["verdict"] == Outcome.WORSE:
        return Answer.WORSE, reasons
    if Outcome.WORSE in (calibrated["verdict"], area["verdict"]):
        return Answer.MISLEADING, reasons
    if calibrated["verdict"] == area["verdict"] == Outcome.IMPROVED:
        return Answer.YES, reasons
    if bias["verdict"] == Outcome.IMPROVED != calibrated["verdict"]:
        return Answer.LABEL_BIAS_ALONE, reasons
    return Answer.UNEXPLAINED, reasons


def _placebos(comparison: Comparison, group: str, *, beaten: bool) -> list[str]:
    if comparison.contrasts is None:
        return []
    rows = comparison.contrasts[
        (comparison.contrasts["group"] == group) & (comparison.contrasts["metric"] == "accuracy")
    ]
    return [row["against"] for row in records(rows) if (row["verdict"] == Outcome.IMPROVED) == beaten]


def _beaten(comparison: Comparison, group: str, arm: str) -> list[str]:
    if comparison.contrasts is None:
        return ["no placebo was compared, so nothing says that translation did it"] if comparison.seen else []
    named = []
    if arm != REAL_ARM and REAL_ARM in set(comparison.contrasts["against"]):
        named.append(f"the first run is the placebo {arm}: name the {REAL_ARM} run first for the verdict on it")
    if names := _placebos(comparison, group, beaten=True):
        named.append(f"it beats {_arms(names)}")
    if names := _placebos(comparison, group, beaten=False):
        named.append(f"it is not shown to beat {_arms(names)}")
    return named


def _arms(names: list[str]) -> str:
    return f"the other {'arm' if len(names) == 1 else 'arms'} {', '.join(names)}"


def _misleading(comparison: Comparison) -> list[str]:
    names = [language(code).name for sentence in comparison.about(Topic.MISREAD) for code in sentence.numbers]
    if not names:
        return []
    rest = len(names) - NAMED
    named = ", ".join(names[:NAMED]) + f" and {rest} more" if rest > 1 else ", ".join(names)
    return [f"accuracy and AUROC moved in opposite directions in {named}"]


def _reference(comparison: Comparison) -> list[str]:
    if comparison.guard is None:
        return []
    name = language(comparison.guard.language).name
    reasons = []
    if comparison.guard.lost:
        reasons.append(f"{name} lost more than {100 * comparison.guard.margin:g} points")
    area = area_lost(comparison)
    return [*reasons, f"{name}'s AUROC fell, {area_span(area)}"] if area else reasons
