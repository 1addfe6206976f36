"""Two evaluations of the same items → what changed, item by item: a table of items × languages for each metric.

1. Join by language and item id; items that one side lacks stop the comparison unless told otherwise.
2. For each metric an item's part in the change, so that the parts' mean is the change. Means over languages, over seeds
   and differences between runs are then means and differences of parts, paired by item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.types import Evaluation, LabelScores
from spillover.stats.calibration import Method, rescaled
from spillover.stats.contributions import contributions_of, undefined_reason

Floats = NDArray[np.float64]
Pairs = Mapping[str, tuple[LabelScores, LabelScores]]

# prior_repair and calibrated_accuracy add up to accuracy, see `contributions_of`.
CHANGES = ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
NAMED = 5


@dataclass(frozen=True)
class Changes:
    """parts: by metric, [items, languages], NaN where a language lacks the item. reasons: why a language's are NaN."""

    example_ids: tuple[str, ...]
    languages: tuple[str, ...]
    parts: Mapping[str, Floats]
    reasons: Mapping[str, str]

    def column(self, metric: str, language: str) -> Floats:
        """[own items]: one language's parts; all NaN where the metric is undefined."""
        values = self.parts[metric][:, self.languages.index(language)]
        held = ~np.isnan(self.parts["accuracy"][:, self.languages.index(language)])
        return np.asarray(values[held])

    def block(self, metric: str, languages: tuple[str, ...]) -> Floats:
        """[items that any of them has, languages]: a column's mean is the language's change, a row's mean is the item's
        part in the change of their mean. An item that a language lacks stands there with the language's mean, and those
        that it has weigh as much more: the errors of both means are then those of the items that there are."""
        places = [self.languages.index(code) for code in languages]
        held = ~np.isnan(self.parts["accuracy"][:, places])
        rows = held.any(axis=1)
        held, values = held[rows], self.parts[metric][rows][:, places]
        if held.all():
            return np.asarray(values)
        counts = held.sum(axis=0)
        means = np.where(held, values, 0).sum(axis=0) / counts
        return np.asarray(means + np.where(held, values - means, 0) * (len(held) / counts))


def changes_of(pairs: Pairs, calibration: Method = "batch") -> Changes:
    """The parts of joined scores."""
    languages = tuple(pairs)
    ids = tuple(dict.fromkeys(example_id for left, _ in pairs.values() for example_id in left.example_ids))
    row = {example_id: i for i, example_id in enumerate(ids)}
    parts = {metric: np.full((len(ids), len(languages)), np.nan) for metric in CHANGES}
    reasons = {}
    for column, (code, (left, right)) in enumerate(pairs.items()):
        rows = [row[example_id] for example_id in left.example_ids]
        own = contributions_of(left, right, calibration)
        reasons[code] = undefined_reason(left, right, own)
        for metric, values in own.items():
            parts[metric][rows, column] = values
    return Changes(ids, languages, parts, reasons)


def join(before: Evaluation, after: Evaluation, config: CompareConfig | None = None) -> Pairs:
    """Both sides' scores by language, on the same items in the same order, under the length rule asked for.

    DataError when they cannot be paired.
    """
    config = config or CompareConfig()
    if before.task != after.task:
        raise DataError(f"cannot compare {before.task} with {after.task}", hint="evaluate both models on one task")
    for name, side in (("before", before), ("after", after)):
        for code, scores in side.scores.items():
            _check_items(f"{name}, {side.task} {code}", scores)
    if config.missing_items == "refuse":
        refuse_apart(before.task, "language", before.scores, after.scores)
    pairs = {}
    for code, left in before.scores.items():
        if code in after.scores:
            sides = rescaled(left, config.length), rescaled(after.scores[code], config.length)
            pairs[code] = _same_items(f"{before.task} {code}", *sides, config)
    if not pairs:
        raise DataError(f"{before.task}: the two sides have no language in common", hint="evaluate both on the same")
    return pairs


def refuse_apart(
    place: str,
    kind: str,
    first: Iterable[str],
    second: Iterable[str],
    *,
    sides: tuple[str, str] = ("before", "after"),
    hint: str = "",
) -> None:
    """DataError that names what (`kind`: language or item) stands on one side alone."""
    left, right = dict.fromkeys(first), dict.fromkeys(second)
    only = [[one for one in own if one not in other] for own, other in ((left, right), (right, left))]
    told = [
        f"{len(own)} {kind}{'s' * (len(own) > 1)} only {side} ({', '.join(own[:NAMED])}{', ...' * (len(own) > NAMED)})"
        for side, own in zip(sides, only, strict=True)
        if own
    ]
    if told:
        raise DataError(f"{place}: {'; '.join(told)}", hint=f"{hint}--missing-items intersection leaves them out")


def restricted(pairs: Pairs, example_ids: Mapping[str, Sequence[str]]) -> Pairs:
    """The languages and items that are named, in that order."""
    cut = {}
    for code, wanted in example_ids.items():
        place = {example_id: i for i, example_id in enumerate(pairs[code][0].example_ids)}
        places = [place[example_id] for example_id in wanted]
        cut[code] = (_take(pairs[code][0], places), _take(pairs[code][1], places))
    return cut


def _check_items(place: str, scores: LabelScores) -> None:
    if not scores.example_ids:
        raise DataError(f"{place}: no items", hint="evaluate the language again, or leave it out")
    twice = [example_id for example_id, count in Counter(scores.example_ids).items() if count > 1]
    if twice:
        raise DataError(
            f"{place}: {len(twice)} ids stand twice: {', '.join(twice[:NAMED])}", hint="give each item its own id"
        )
    if scores.outcome is None and not np.isfinite(scores.logprobs).all():
        bad = [i for i, row in zip(scores.example_ids, scores.logprobs, strict=True) if not np.isfinite(row).all()]
        raise DataError(
            f"{place}: {len(bad)} items have scores that are no numbers: {', '.join(bad[:NAMED])}",
            hint="evaluate again",
        )


def _same_items(
    place: str, left: LabelScores, right: LabelScores, config: CompareConfig
) -> tuple[LabelScores, LabelScores]:
    if config.missing_items == "refuse":
        refuse_apart(place, "item", left.example_ids, right.example_ids)
    places = {example_id: i for i, example_id in enumerate(right.example_ids)}
    shared = [i for i, example_id in enumerate(left.example_ids) if example_id in places]
    if not shared:
        raise DataError(
            f"{place}: the two sides have no item in common", hint="evaluate both on the same data and seed"
        )
    left = _take(left, shared)
    right = _take(right, [places[example_id] for example_id in left.example_ids])
    if left.labels != right.labels or (left.gold != right.gold).any():
        raise DataError(f"{place}: the two sides' gold labels differ", hint="evaluate both on the same data")
    return left, right


def _take(scores: LabelScores, places: list[int]) -> LabelScores:
    return replace(
        scores,
        example_ids=tuple(scores.example_ids[i] for i in places),
        gold=scores.gold[places],
        logprobs=scores.logprobs[places],
        tokens=scores.tokens[places],
        label_tokens=scores.label_tokens[places],
        outcome=None if scores.outcome is None else scores.outcome[places],
    )
