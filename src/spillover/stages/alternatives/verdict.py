"""Did I need to train? One sentence, by the primary measure, over the unseen languages where there are any, else all.

1. Tuning beats every free alternative where each test of tuned against one of them, base and calibrated base among
   them, says so. A claim about all needs every test, and no correction (an intersection-union test); it is as large as
   the smallest difference.
2. A free alternative gives more where one beats tuned, by Holm's correction over all of them.
3. Calibration alone gives what tuning gives where no difference is shown, and its interval lies within
   `compare.effect` on both sides.
4. Else tuning is not shown to beat every free alternative.

Without a tuned model: whether a free row beats the calibrated base, and each of its nulls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spillover.core.config import CompareConfig
from spillover.core.tables import records
from spillover.stages.alternatives.result import Need
from spillover.stages.alternatives.rows import CALIBRATED, TUNED, RowKind
from spillover.stages.compare.format import listed
from spillover.stages.compare.measures import Measure

if TYPE_CHECKING:
    import pandas as pd

Line = Mapping[str, Any]
Answer = tuple[Need, str, dict[str, Any]]


def verdict(
    rows: pd.DataFrame,
    contrasts: pd.DataFrame,
    measure: Measure,
    group: str,
    reference: str,
    config: CompareConfig,
) -> Answer:
    """(answer, the sentence, its numbers). rows, contrasts: the tables, without the task. reference: the row that
    changes are against."""
    own = contrasts[(contrasts["group"] == group) & (contrasts["metric"] == measure.metric)]
    nulls = records(own[own["kind"] == RowKind.NULL.value])
    against = records(own[(own["kind"] == RowKind.FREE.value) & (own["row"] == TUNED)])
    if against:
        answer, text, line = _of_tuning(against, measure, reference, 1 - config.level, config.effect)
        text += _of_nulls([null for null in nulls if null["row"] == TUNED], 1 - config.level)
    else:
        answer, text, line = _of_free(records(rows[rows["group"] == group]), nulls, measure, 1 - config.level)
    where = {"unseen": "In unseen languages", "all": "Over all languages"}[group]
    numbers = {key: line[key] for key in ("against", "row", "delta", "low", "high") if key in line}
    return answer, f"{where}, by {measure.title}: {text}.", numbers


def _of_tuning(
    against: list[dict[str, Any]], measure: Measure, reference: str, alpha: float, effect: float
) -> tuple[Need, str, Line]:
    """against: tuned minus each of what is free."""
    hardest = min(against, key=lambda line: line["delta"])
    if all(line["delta"] > 0 and line["p"] < alpha for line in against):
        return Need.BEATS_EVERY, f"tuning beats every free alternative by {_difference(hardest, measure)}", hardest
    if hardest["delta"] < 0 and hardest["holm_p"] < alpha:
        less = {"delta": -hardest["delta"], "low": -hardest["high"], "high": -hardest["low"]}
        text = f"{hardest['against']}, which is free, gives more than tuning by {_difference(less, measure)}"
        return Need.FREE_IS_BETTER, text, hardest
    line = next(line for line in against if line["against"] == reference)
    if all(line["p"] != line["p"] for line in against):
        return Need.UNTESTED, "tuning and what is free rank all items alike, so nothing can be tested", line
    if not line["p"] < alpha and -effect < line["low"] and line["high"] < effect:
        alone = "calibration alone gives" if reference == CALIBRATED else "the base gives"
        text = f"{alone} what tuning gives, {_difference(line, measure)}, to within {measure.size(effect)}"
        return Need.CALIBRATION_IS_ENOUGH, text, line
    equal = [line["against"] for line in against if not (line["delta"] > 0 and line["p"] < alpha)]
    text = f"tuning is not shown to beat {listed(equal)}: {_difference(hardest, measure)} against {hardest['against']}"
    return Need.NOT_SHOWN_TO_BEAT_EVERY, text, hardest


def _of_nulls(nulls: list[dict[str, Any]], alpha: float) -> str:
    """Whether tuned beats each of its placebos; nothing where it has none."""
    beaten = [null["against"] for null in nulls if null["delta"] > 0 and null["p"] < alpha]
    others = [null["against"] for null in nulls if null["against"] not in beaten]
    if others:
        return f"; tuning is not shown to beat its placebo {listed(others)}"
    return f"; tuning beats its placebo {listed(beaten)}" if beaten else ""


def _of_free(
    rows: list[dict[str, Any]], nulls: list[dict[str, Any]], measure: Measure, alpha: float
) -> tuple[Need, str, Line]:
    free = [row for row in rows if row["kind"] == RowKind.FREE.value]
    ends = ("delta", "low", "high")
    lines = [row | {end: row[f"{measure.metric}_{end}"] for end in ends} for row in free]
    better = [line for line in lines if line["delta"] > 0 and line["holm_p"] < alpha]
    if not better:
        return Need.NOTHING_SHOWN, "no free alternative is shown to beat the calibrated base", {}
    best = max(better, key=lambda line: line["delta"])
    own = [null for null in nulls if null["row"] == best["row"]]
    text = f"{best['row']} beats the calibrated base by {_difference(best, measure)}"
    not_beaten = [null["against"] for null in own if not (null["delta"] > 0 and null["p"] < alpha)]
    text += f", and is not shown to beat its null {listed(not_beaten)}" if not_beaten else ", and its nulls"
    return Need.FREE_HELPS, f"{text}; no tuned model is in the table", best


def _difference(line: Line, measure: Measure) -> str:
    return measure.change_with_interval(line["delta"], line["low"], line["high"])
