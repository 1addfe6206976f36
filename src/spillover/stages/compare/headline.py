"""The first thing a reader is told: what was claimed, whether it holds, and why. Read from the tables of a comparison.

yes             accuracy rose, and the labels are told apart better: calibrated accuracy and AUROC rose both
prior alone     accuracy rose, and all that was shown to rise is the label prior's part
misleading      accuracy rose, and the labels are told apart worse
rose            accuracy rose, and it cannot be told why, or the scores hold no log-probabilities
worse           accuracy fell
not shown       the test finds no change; too few items where a change that matters could have been missed
not beaten      accuracy rose, and the real arm is not shown to beat every placebo
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.core.config import REAL_ARM
from spillover.core.languages import UNKNOWN_LANGUAGE, language
from spillover.stages.compare.verdict import (
    IMPROVED,
    UNDEFINED,
    UNDERPOWERED,
    WORSE,
    Sentence,
    area_lost,
    area_span,
    percent,
    pick,
    points,
    span,
)

if TYPE_CHECKING:
    from spillover.stages.compare.paired import Comparison

NAMED = 5


def headline(found: Comparison, arm: str = "") -> Sentence:
    """Claim, answer and reason in one sentence each, about the unseen languages where there are any, else about all.

    arm: the name of the first run's arm, where there are several runs. With several seeds the pooled test answers."""
    group = "unseen" if (found.groups["group"] == "unseen").any() else "all"
    metrics = ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
    row, told, repair, area = (_pooled(found, arm, pick(found.groups, group, metric)) for metric in metrics)
    answer, why = _answer(row, told, repair, area)
    interval = "" if row["verdict"] == UNDEFINED else f" ({span(row)})"
    change = f"accuracy {percent(row['before'])} → {percent(row['after'])} %, {points(row['delta'])}{interval}"
    if "seeds" in row:
        change = f"over {row['seeds']} seeds accuracy {points(row['delta'])}{interval}"
    reasons = [change, *why, *_beaten(found, group, arm)]
    if answer in POSITIVE and _placebos(found, group, beaten=False):
        answer = "accuracy rose, but it is not shown to beat a placebo"
    reasons += _misleading(found) + _english(found)
    claim = _claim(found, row)
    text = f"Claim: {claim}. Does it hold? {answer[0].upper()}{answer[1:]}: {'; '.join(reasons)}."
    return Sentence("headline", text, {"claim": claim, "answer": answer, "why": reasons, "group": group})


def _pooled(found: Comparison, arm: str, row: Any) -> dict[str, Any]:
    """A group's row, with the estimate of all seeds in place of the first one's where the arm has several."""
    own = dict(row)
    if found.seeds is not None:
        rows = found.seeds[(found.seeds["arm"] == arm) & (found.seeds["group"] == row["group"])]
        for pooled in rows[rows["metric"] == row["metric"]].to_dict("records"):
            own |= {key: pooled[key] for key in ("seeds", "delta", "low", "high", "verdict", "detectable")}
    return own


POSITIVE = (
    "yes",
    "accuracy rose, but calibration alone would have given that",
    "accuracy rose, and why cannot be told",
    "yes, by accuracy alone",
)


def _claim(found: Comparison, row: Any) -> str:
    codes = row["codes"].split()
    if codes == [UNKNOWN_LANGUAGE]:
        return f"{found.task} improves"
    where = f"{len(codes)} unseen languages" if row["group"] == "unseen" else f"{len(codes)} languages"
    where = language(codes[0]).name if len(codes) == 1 else where
    names = [language(code).name for code in found.seen]
    told = ", ".join(names) if len(names) <= NAMED else f"{len(names)} languages"
    return f"training on {told} improves {found.task} in {where}" if names else f"{found.task} improves in {where}"


def _answer(row: Any, told: Any, repair: Any, area: Any) -> tuple[str, list[str]]:
    """(the answer, what explains it beside the change in accuracy)."""
    least = f"{100 * row['detectable']:.1f} points"
    parts = [
        f"of that, {points(repair['delta'])} is a repaired label prior and {points(told['delta'])} is discrimination",
        f"AUROC {area_span(area)}",
    ]
    if row["verdict"] == UNDEFINED:
        return "it cannot be tested", ["there is one item"]
    apart = [f"the labels are told apart worse, {parts[1]}"] if area["verdict"] == WORSE else []
    if row["verdict"] == UNDERPOWERED:
        return "not shown, with too few items", [f"only a change of {least} would be found", *apart]
    if row["verdict"] not in (IMPROVED, WORSE):
        return "not shown", [f"a change of {least} or more would have been found", *apart]
    if told["verdict"] == UNDEFINED:
        parts = ["these scores do not say what part is a repaired label prior"]
    if row["verdict"] == WORSE:
        return "no, it got worse", parts
    if told["verdict"] == UNDEFINED:
        return POSITIVE[3], parts
    if WORSE in (told["verdict"], area["verdict"]):
        return "no, accuracy rose while the labels are told apart worse", parts
    if told["verdict"] == area["verdict"] == IMPROVED:
        return POSITIVE[0], parts
    return (POSITIVE[1] if repair["verdict"] == IMPROVED != told["verdict"] else POSITIVE[2]), parts


def _placebos(found: Comparison, group: str, *, beaten: bool) -> list[str]:
    if found.contrasts is None:
        return []
    rows = found.contrasts[(found.contrasts["group"] == group) & (found.contrasts["metric"] == "accuracy")]
    return [row["against"] for row in rows.to_dict("records") if (row["verdict"] == IMPROVED) == beaten]


def _beaten(found: Comparison, group: str, arm: str) -> list[str]:
    if found.contrasts is None:
        return ["no placebo was compared, so nothing says that translation did it"] if found.seen else []
    told = []
    if arm != REAL_ARM and REAL_ARM in set(found.contrasts["against"]):
        told.append(f"the first run is the placebo {arm}: name the {REAL_ARM} run first for the verdict on it")
    if names := _placebos(found, group, beaten=True):
        told.append(f"it beats {_arms(names)}")
    if names := _placebos(found, group, beaten=False):
        told.append(f"it is not shown to beat {_arms(names)}")
    return told


def _arms(names: list[str]) -> str:
    return f"the other {'arm' if len(names) == 1 else 'arms'} {', '.join(names)}"


def _misleading(found: Comparison) -> list[str]:
    names = [language(code).name for s in found.verdict if s.about == "misread" for code in s.numbers]
    if not names:
        return []
    rest = len(names) - NAMED
    told = ", ".join(names[:NAMED]) + f" and {rest} more" if rest > 1 else ", ".join(names)
    return [f"accuracy and AUROC moved apart in {told}"]


def _english(found: Comparison) -> list[str]:
    if found.guard is None:
        return []
    name, told = language(found.guard.language).name, []
    if found.guard.lost:
        told.append(f"{name} lost more than {100 * found.guard.margin:g} points")
    area = area_lost(found)
    return [*told, f"{name}'s AUROC fell, {area_span(area)}"] if area else told
