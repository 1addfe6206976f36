"""Two evaluations of the same items → what changed, item by item: a matrix of items × languages for each metric.

1. Join by language and item id, or by the hash of the item's text where it has another id on each side. Items that one
   side lacks stop the comparison unless `compare.missing_items` says else; another text under the same id always does.
2. For each metric each item's contribution to the change, so that their mean is the change. Means over languages, over
   seeds and differences between runs are then means and differences of contributions, paired by item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.languages import UNKNOWN_LANGUAGE
from spillover.core.types import Evaluation, Floats, Indices, LabelScores
from spillover.stages.compare.format import counted, listed
from spillover.stages.compare.logged_scores import as_outcomes
from spillover.stats.calibration import Method, rescaled
from spillover.stats.clusters import cluster_contributions, cluster_numbers, cluster_sums
from spillover.stats.contributions import METRICS, contributions_of, undefined_reason

Pairs = Mapping[str, tuple[LabelScores, LabelScores]]
"""(before, after) by language, on the same items in the same order."""


@dataclass(frozen=True)
class Changes:
    """contributions: by metric, [items, languages], NaN where a language lacks the item. reasons: by language, why
    numbers are NaN. clusters: [items] the number of each item's cluster; None where items are independent. Everything
    that goes into an interval or a test is then by cluster: see `stats.clusters`."""

    example_ids: tuple[str, ...]
    languages: tuple[str, ...]
    contributions: Mapping[str, Floats]
    reasons: Mapping[str, str]
    clusters: Indices | None = None

    @property
    def clustered(self) -> bool:
        """Whether some items have a cluster in common."""
        return self.clusters is not None

    def items_of_language(self, metric: str, language: str) -> Floats:
        """[items of the language]: its contributions; all NaN where the metric is undefined."""
        return np.asarray(self.contributions[metric][self._has_item([language])[:, 0], self.languages.index(language)])

    def of_language(self, metric: str, language: str) -> Floats:
        """[items or clusters of the language]: contributions whose mean is its change and whose spread is its error."""
        return self._by_cluster(self.items_of_language(metric, language), self._has_item([language])[:, 0])

    def exchanged_in_language(self, language: str) -> Floats:
        """[items or clusters of the language]: what is exchanged as a whole when both sides are: differences of hits,
        summed over a cluster."""
        values, rows = self.items_of_language("accuracy", language), self._has_item([language])[:, 0]
        return values if self.clusters is None else cluster_sums(values, _renumbered(self.clusters[rows]))

    def n_items(self, languages: Sequence[str]) -> int:
        """How many items any of the languages has."""
        return int(self._has_item(languages).any(axis=1).sum())

    def n_clusters(self, languages: Sequence[str]) -> int:
        """Of how many clusters these items are; how many items there are where they are independent."""
        rows = self._has_item(languages).any(axis=1)
        return int(rows.sum()) if self.clusters is None else len(np.unique(self.clusters[rows]))

    def _has_item(self, languages: Sequence[str]) -> NDArray[np.bool_]:
        columns = [self.languages.index(code) for code in languages]
        return np.asarray(~np.isnan(self.contributions["accuracy"][:, columns]))

    def _by_cluster(self, values: Floats, rows: NDArray[np.bool_]) -> Floats:
        if self.clusters is None:
            return values
        return cluster_contributions(values, _renumbered(self.clusters[rows]))

    def contribution_matrix(self, metric: str, languages: tuple[str, ...]) -> Floats:
        """[items that any of the languages has, or their clusters; languages]: a column's mean is the language's
        change, a row's mean is the item's or cluster's contribution to the mean change. An item that a language lacks
        is imputed with the language's mean, and the others' deviations are scaled up, so that both means have the
        standard errors of the observed items."""
        columns = [self.languages.index(code) for code in languages]
        has_item = self._has_item(languages)
        rows = np.asarray(has_item.any(axis=1))
        has_item, values = has_item[rows], self.contributions[metric][rows][:, columns]
        if not has_item.all():
            counts = has_item.sum(axis=0)
            means = np.where(has_item, values, 0).sum(axis=0) / counts
            values = means + np.where(has_item, values - means, 0) * (len(has_item) / counts)
        return self._by_cluster(np.asarray(values), rows)


def _renumbered(clusters: Indices) -> Indices:
    """Cluster numbers without gaps, for a part of the items."""
    return np.asarray(np.unique(clusters, return_inverse=True)[1])


def changes_of(pairs: Pairs, calibration: Method = "batch", *, calibrated_before: bool = False) -> Changes:
    """The contributions of joined scores. calibrated_before: see `stats.contributions.contributions_of`."""
    languages = tuple(pairs)
    ids = tuple(dict.fromkeys(example_id for before, _ in pairs.values() for example_id in before.example_ids))
    row = {example_id: i for i, example_id in enumerate(ids)}
    contributions = {metric: np.full((len(ids), len(languages)), np.nan) for metric in METRICS}
    reasons = {}
    for column, (code, (before, after)) in enumerate(pairs.items()):
        rows = [row[example_id] for example_id in before.example_ids]
        of_language = contributions_of(before, after, calibration, calibrated_before=calibrated_before)
        reasons[code] = undefined_reason(before, after, of_language)
        for metric, values in of_language.items():
            contributions[metric][rows, column] = values
    return Changes(ids, languages, contributions, reasons, _cluster_numbers(pairs, ids))


def _cluster_numbers(pairs: Pairs, ids: Sequence[str]) -> Indices | None:
    """[items]; an item whose cluster is unknown is one by itself. None where no item shares one with another."""
    names: dict[str, str] = {}
    for before, after in pairs.values():
        names |= dict(zip(before.example_ids, before.clusters or after.clusters, strict=False))
    if not names:
        return None
    numbers = cluster_numbers([f"cluster {names[name]}" if name in names else f"item {name}" for name in ids])
    return numbers if numbers.max() + 1 < len(ids) else None


def join(before: Evaluation, after: Evaluation, config: CompareConfig | None = None) -> Pairs:
    """Both sides' scores by language, on the same items in the same order, under the configured length rule.

    DataError when they cannot be paired.
    """
    config = config or CompareConfig()
    if before.task != after.task:
        raise DataError(f"cannot compare {before.task} with {after.task}", hint="evaluate both models on one task")
    for name, side in (("before", before), ("after", after)):
        for code, scores in side.scores.items():
            _check_items(f"{name}, {side.task} {code}", scores)
    if config.missing_items == "refuse":
        refuse_unmatched(before.task, "language", before.scores, after.scores)
    pairs = {}
    for code, left in before.scores.items():
        if code in after.scores:
            length = config.length or left.length
            sides = rescaled(left, length), rescaled(after.scores[code], length)
            pairs[code] = _same_items(f"{before.task} {code}", *sides, config, hint=_as_hint(before, after))
    if not pairs:
        raise DataError(f"{before.task}: the two sides have no language in common", hint="evaluate both on the same")
    return pairs


def refuse_unmatched(
    where: str,
    kind: str,
    first: Iterable[str],
    second: Iterable[str],
    *,
    sides: tuple[str, str] = ("before", "after"),
    hint: str = "",
) -> None:
    """DataError that names what (`kind`: language or item) is on one side alone."""
    left, right = dict.fromkeys(first), dict.fromkeys(second)
    problems = []
    for side, names, others in ((sides[0], left, right), (sides[1], right, left)):
        if only := [name for name in names if name not in others]:
            problems.append(f"{counted(only, kind)} only {side} ({listed(only)})")
    if problems:
        raise DataError(f"{where}: {'; '.join(problems)}", hint=f"{hint}--missing-items intersection leaves them out")


def restricted(pairs: Pairs, example_ids: Mapping[str, Sequence[str]]) -> Pairs:
    """The named languages and items, in that order."""
    selected = {}
    for code, ids in example_ids.items():
        before, after = pairs[code]
        row = {example_id: i for i, example_id in enumerate(before.example_ids)}
        rows = [row[example_id] for example_id in ids]
        selected[code] = (before.take(rows), after.take(rows))
    return selected


def _check_items(where: str, scores: LabelScores) -> None:
    if not scores.example_ids:
        raise DataError(f"{where}: no items", hint="evaluate the language again, or leave it out")
    duplicates = [example_id for example_id, count in Counter(scores.example_ids).items() if count > 1]
    if duplicates:
        raise DataError(
            f"{where}: {len(duplicates)} duplicate ids: {listed(duplicates)}",
            hint="give each item its own id",
        )
    # An answer that an item does not have has -inf.
    lengths = scores.label_tokens if scores.answer_bytes is None else scores.answer_bytes
    finite = np.isfinite(scores.logprobs) | ((scores.kind != "labels") & (lengths == 0))
    if scores.outcome is None and not finite.all():
        bad = [scores.example_ids[i] for i in np.flatnonzero(~finite.all(axis=1))]
        raise DataError(f"{where}: {len(bad)} items have non-finite scores: {listed(bad)}", hint="evaluate again")


def left_out(before: Evaluation, after: Evaluation, pairs: Pairs) -> list[str]:
    """A sentence on languages, and one for each language on items, that were left out since one side alone has them."""
    languages = [code for code in dict.fromkeys([*before.scores, *after.scores]) if code not in pairs]
    reason = "as one side lacks them"
    sentences = [f"Left out, {reason}: {counted(languages, 'language')} ({listed(languages)})."] if languages else []
    for code, sides in pairs.items():
        both = zip((before.scores[code], after.scores[code]), sides, strict=True)
        if names := list(dict.fromkeys(name for scores, joined in both for name in _lost(scores, joined))):
            place = "" if code == UNKNOWN_LANGUAGE else f" in {code}"
            sentences.append(f"Left out{place}, {reason}: {counted(names, 'item')} ({listed(names)}).")
    return sentences


def _lost(scores: LabelScores, joined: LabelScores) -> list[str]:
    """The items that are not among the joined ones: by content where it is known, since ids may have changed."""
    by_content = bool(scores.content and joined.content)
    kept = set(joined.content if by_content else joined.example_ids)
    keys = scores.content if by_content else scores.example_ids
    return [name for name, key in zip(scores.example_ids, keys, strict=True) if key not in kept]


def _as_hint(before: Evaluation, after: Evaluation) -> str:
    """What the readers of both sides noted: it may say why items are missing."""
    sides = (("before", before), ("after", after))
    return "".join(f"{name}: {note}; " for name, side in sides for note in side.notes)


def _same_items(
    where: str, left: LabelScores, right: LabelScores, config: CompareConfig, *, hint: str = ""
) -> tuple[LabelScores, LabelScores]:
    right = _renamed_by_content(where, left, right)
    if config.missing_items == "refuse":
        refuse_unmatched(where, "item", left.example_ids, right.example_ids, hint=hint)
    row = {example_id: i for i, example_id in enumerate(right.example_ids)}
    shared = [i for i, example_id in enumerate(left.example_ids) if example_id in row]
    if not shared:
        raise DataError(
            f"{where}: the two sides have no item in common", hint="evaluate both on the same data and seed"
        )
    left = left.take(shared)
    right = right.take([row[example_id] for example_id in left.example_ids])
    if (left.outcome is None) != (right.outcome is None):
        left, right = (side if side.outcome is not None else as_outcomes(side) for side in (left, right))
    if left.labels != right.labels or (left.gold != right.gold).any():
        raise DataError(f"{where}: the two sides' gold labels differ", hint="evaluate both on the same data")
    if left.clusters and right.clusters and left.clusters != right.clusters:
        raise DataError(f"{where}: the two sides' clusters differ", hint="evaluate both on the same data")
    return left, right


def _renamed_by_content(where: str, left: LabelScores, right: LabelScores) -> LabelScores:
    """`right` with the ids of `left`, where the same texts have other ids there. DataError where an id stands for
    another text."""
    if not (left.content and right.content):
        return right
    of_left, of_right = (dict(zip(side.example_ids, side.content, strict=True)) for side in (left, right))
    both = [name for name in of_left if name in of_right]
    conflicts = [name for name in both if of_left[name] != of_right[name]]
    if both and not conflicts:
        return right
    ids = {content: name for name, content in of_left.items()}
    unique = len(ids) == len(of_left) and len(set(right.content)) == len(of_right)
    if changed := [name for name in conflicts if not unique or of_left[name] not in right.content]:
        raise DataError(
            f"{where}: {len(changed)} of {len(both)} items have another text under the same id ({listed(changed)})",
            hint="evaluate both models on the same data",
        )
    if not unique:
        return right
    # What has no counterpart keeps its id, marked where that stands for another text on the left.
    names = [ids.get(content, f"{name} after" if name in of_left else name) for name, content in of_right.items()]
    return replace(right, example_ids=tuple(names))
