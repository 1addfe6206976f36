"""The measures that a comparison can go by: what each is called, how it is written, and what tests it.

Of all of them higher is better. The table of each language and group has every measure; one is primary (`primary`).
How the change of a measure is made of the items' contributions is in `stats.contributions`, under its `metric`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spillover.core.types import LabelScores
from spillover.stages.compare.format import area, area_change, area_size, area_span, percent, points, size, span
from spillover.stages.compare.pairing import Changes
from spillover.stats.contributions import estimate, undefined_area
from spillover.stats.power import minimum_detectable, minimum_detectable_mean
from spillover.stats.summary import CHANCE, reason_undefined

# A standard error is the same for the interval of any level.
LEVEL = 0.95


@dataclass(frozen=True)
class Measure:
    """One measure.

    name: of `compare.primary`. metric: its name in tables. title: in sentences. of_hits: whether it is the share of
    items that are right, in percent, with changes in points; else it is an area between 0 and 1. label_bias: whether a
    change in label bias alone moves it. single_test: the column with the p of one language's test.
    """

    name: str
    metric: str
    title: str
    of_hits: bool
    label_bias: bool
    single_test: str

    @property
    def factor(self) -> float:
        """What a value of a table is multiplied with to be written."""
        return 100.0 if self.of_hits else 1.0

    @property
    def unit(self) -> str:
        """The unit of a change, in brackets behind a title; "" for an area."""
        return " (points)" if self.of_hits else ""

    @property
    def number_format(self) -> str:
        """The format of a written value; with a plus sign in front, of a change."""
        return ".1f" if self.of_hits else ".3f"

    def at_chance(self, accuracy: float | None) -> float | None:
        """Its value for guesses, of which this is the accuracy; None where it is not known."""
        return accuracy if self.of_hits else CHANCE

    def value(self, share: float) -> str:
        """A value, in percent or as an area; a dash for NaN."""
        return percent(share) if self.of_hits else area(share)

    def before_after(self, before: float, after: float) -> str:
        """`50.0 → 53.1 %` or `0.612 → 0.640`."""
        return f"{self.value(before)} → {self.value(after)}{' %' * self.of_hits}"

    def change(self, delta: float) -> str:
        """A change with its sign, in points or as an area; a dash for NaN."""
        return points(delta) if self.of_hits else area_change(delta)

    def span(self, low: float, high: float) -> str:
        """An interval of a change; a dash for NaN."""
        return span(low, high) if self.of_hits else f"{area_change(low)} to {area_change(high)}" if low == low else "–"

    def change_with_interval(self, delta: float, low: float, high: float) -> str:
        """`+3.1 (+1.0 to +5.2)`; for an area it says where it has no interval."""
        return f"{points(delta)} ({span(low, high)})" if self.of_hits else area_span(delta, low, high)

    def size(self, share: float) -> str:
        """The size of a change: `5.0 points`, or `0.050`."""
        return size(share) if self.of_hits else area_size(share)

    def reason_undefined(self, before: LabelScores, after: LabelScores) -> str:
        """Why a language's change in it cannot be tested, whatever the model answers; "" when it can."""
        if self is ACCURACY:
            return ""
        reason = reason_undefined(before) or reason_undefined(after)
        return reason if self.of_hits else reason or undefined_area(before)

    def minimum_detectable(self, changes: Changes, language: str, *, alpha: float, power: float) -> float:
        """The minimum detectable change of one language: from the share of flipped items where they are independent,
        else from the standard error."""
        if self.of_hits and not changes.clustered:
            contributions = changes.items_of_language(self.metric, language)
            flipped = float((contributions**2).mean())
            return minimum_detectable(len(contributions), flipped, alpha=alpha, power=power)
        clusters = changes.n_clusters([language]) if changes.clustered else None
        return minimum_detectable_mean(self.error(changes, language), alpha=alpha, power=power, clusters=clusters)

    def error(self, changes: Changes, language: str) -> float:
        """The standard error of one language's change. NaN where it has no test."""
        parts = changes.of_language(self.metric, language)
        return estimate(parts, self.metric, LEVEL, clustered=changes.clustered).error


ACCURACY = Measure("accuracy", "accuracy", "accuracy", True, True, "mcnemar_mid_p")
CALIBRATED = Measure("calibrated", "calibrated_accuracy", "calibrated accuracy", True, False, "calibrated_accuracy_p")
AUROC = Measure("auroc", "auroc", "AUROC", False, False, "auroc_p")
MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in (ACCURACY, CALIBRATED, AUROC)}
BY_METRIC: Mapping[str, Measure] = {measure.metric: measure for measure in MEASURES.values()}
