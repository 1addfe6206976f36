"""Does an answer's length give it away? The accuracy of "take the longest" and "take the shortest", by language.

1. For each item, whether the longest of its answers is the right one, in characters and in UTF-8 bytes; a tie counts by
   its share. Clusters of items are resampled together.
2. Each language beside the others, item by item: what one language's translators added is no property of the task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Finding
from spillover.stages.audit.answer_indices import NO_INDEX, indices_from_zero
from spillover.stages.audit.inputs import Fault
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stats.clusters import cluster_contributions, cluster_numbers
from spillover.stats.intervals import Estimate, proportion_interval, skewness_adjusted, untested, within
from spillover.stats.significance import corrected

Floats = NDArray[np.float64]
LEVEL = 0.95
RULES = ("longest", "shortest")
CHECK = "answer-length"
LEAST_CLUSTERS = 20  # below which a difference between languages is not tested
HALF = 0.5


@dataclass(frozen=True)
class LengthRule:
    """One rule in one language. rule: longest or shortest; unit: characters or bytes. accuracy, low, high, chance: 0 to
    1, over `items`. difference: from the mean of the other languages, over their common items; NaN with one language or
    few clusters. given_away: ids of items that the rule gets right here and in less than half of the others."""

    language: str
    rule: str
    unit: str
    items: int
    accuracy: float
    low: float
    high: float
    chance: float
    difference: Estimate
    given_away: Sequence[str]


def length_rules(languages: LanguageProfiles, left_out: Collection[str] = ()) -> list[LengthRule]:
    """Every rule, unit and language; empty where items bring no answers, or none has a right one. left_out: languages
    that the others are not compared with, and of which there are no rules."""
    if languages.slots < 2:
        return []
    counts, gold, ids = languages.n_choices(), indices_from_zero(languages), languages.item_ids()
    usable = (gold != NO_INDEX) & (counts > 1) & (counts <= languages.slots)
    usable[[languages.codes.index(code) for code in left_out]] = False
    clusters = _clusters(languages)
    rules = []
    for unit, lengths in languages.choice_lengths().items():
        for rule in RULES:
            hits = _hits(lengths, gold, counts, rule)
            hits[~usable] = np.nan
            for number, code in enumerate(languages.profiles):
                if usable[number].any():
                    others = _other_languages(hits, number) if languages.task.parallel else np.full(len(ids), np.nan)
                    rules.append(_rule(code, rule, unit, hits[number], others, counts[number], clusters[number], ids))
    return rules


def _rule(
    code: str, rule: str, unit: str, hits: Floats, others: Floats, counts: Floats, clusters: NDArray[np.int64],
    ids: Sequence[str],
) -> LengthRule:  # fmt: skip
    known = np.isfinite(hits)
    low, high = proportion_interval(_per_cluster(hits, clusters, known), LEVEL)
    compared = known & np.isfinite(others)
    differences = _per_cluster(hits - others, clusters, compared)
    difference = _difference(differences)
    given_away = compared & (hits > HALF) & (others < HALF)
    return LengthRule(
        code, rule, unit, int(known.sum()), float(hits[known].mean()), low, high, float((1 / counts[known]).mean()),
        difference, [ids[i] for i in np.flatnonzero(given_away).tolist()],
    )  # fmt: skip


def _difference(differences: Floats) -> Estimate:
    """The mean of [clusters] differences; untested with few of them. Where all are one value but 0 it is no chance."""
    estimate = within(skewness_adjusted(differences, LEVEL), 1.0)
    if len(differences) < LEAST_CLUSTERS:
        return untested(differences)
    if np.isnan(estimate.p) and estimate.delta:
        return Estimate(estimate.delta, estimate.delta, estimate.delta, 0.0, 0.0)
    return estimate


def _hits(lengths: NDArray[np.int32], gold: NDArray[np.int32], counts: NDArray[np.int32], rule: str) -> Floats:
    """[languages, items, slots] lengths → [languages, items] 1 where the rule takes the right answer, a share where
    several are equally long."""
    there = np.arange(lengths.shape[2]) < counts[..., None]
    signed = np.where(there, lengths if rule == RULES[0] else -lengths, np.iinfo(np.int32).min)
    taken = (signed == signed.max(axis=2, keepdims=True)) & there
    right = np.take_along_axis(taken, np.maximum(gold, 0)[..., None].clip(max=lengths.shape[2] - 1), axis=2)[..., 0]
    return np.asarray(right / np.maximum(taken.sum(axis=2), 1))


def _other_languages(hits: Floats, number: int) -> Floats:
    """[items] mean of the hits of all other languages that have the item, NaN where none has."""
    known = np.delete(np.isfinite(hits), number, axis=0)
    totals = np.delete(np.nan_to_num(hits), number, axis=0).sum(axis=0)
    return np.where(known.any(axis=0), totals / np.maximum(known.sum(axis=0), 1), np.nan)


def _clusters(languages: LanguageProfiles) -> NDArray[np.int64]:
    """[languages, items] number of each item's cluster; where it has none, it is its own."""
    clusters = languages.cluster_numbers().astype(np.int64)
    return np.where(clusters < 0, -1 - np.arange(clusters.shape[1]), clusters)


def _per_cluster(values: Floats, clusters: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Floats:
    return cluster_contributions(values[chosen], cluster_numbers(list(map(str, clusters[chosen]))))


def answer_length(languages: LanguageProfiles) -> Iterator[Fault]:
    """How often the longest and the shortest answer is the right one, as a note with a table of all languages; a
    warning where that is more frequent in one language than in the others, so that length gives the answer away there.

    Sees differences of at least `length_gain` that chance does not explain (95 %, Holm over languages, rules and
    units), with at least 20 items or clusters. Cannot see what gives an answer away other than its length; whether a
    model follows it; nor which language is right where two differ.
    """
    rules = length_rules(languages)
    if not rules:
        return
    longest = [one.accuracy for one in rules if (one.rule, one.unit) == ("longest", "characters")]
    shares = f"{100 * min(longest):.0f}" + (f" to {100 * max(longest):.0f}" if len(longest) > 1 else "")
    chance = np.mean([one.chance for one in rules])
    yield Fault(
        f"the longest answer is the right one in {shares} % of the items (chance {100 * chance:.0f} %)",
        evidence={"rules": [_evidence(one) for one in rules]},
        severity="note",
        suggestion="read a model's accuracy beside it; a model that prefers long answers scores this without reading",
    )
    for most in _found(languages, rules):
        yield Fault(
            f"the {most.rule} answer (by {most.unit}) is the right one in {_percent(most.accuracy)} of the items, "
            f"{100 * most.difference.delta:+.1f} ({100 * most.difference.low:+.1f} to "
            f"{100 * most.difference.high:+.1f}) against the other languages: length gives it away",
            most.given_away,
            most.language,
            evidence={"difference": round(most.difference.delta, 4), "rule": most.rule, "unit": most.unit},
            certainty="likely",
            suggestion="translate these answers again, as short as the reference's",
        )


def _found(languages: LanguageProfiles, rules: Sequence[LengthRule]) -> Iterator[LengthRule]:
    """The languages that differ from the others, each by its strongest rule, the most different first: it is left out
    of the others then, since what stands out in one language is no fault of the rest."""
    found: list[str] = []
    while True:
        p_values = corrected(np.array([one.difference.p for one in rules]), "holm")
        different = [
            one
            for one, p in zip(rules, p_values, strict=True)
            if p <= 1 - LEVEL
            and one.difference.delta >= languages.thresholds.length_gain
            and not languages.believed(one.language)
        ]
        if not different:
            return
        most = max(different, key=lambda one: one.difference.delta)
        yield most
        found.append(most.language)
        rules = length_rules(languages, found)


def _evidence(rule: LengthRule) -> dict[str, object]:
    """A row of the table: what `table_rows` reads."""
    numbers = {"accuracy": rule.accuracy, "low": rule.low, "high": rule.high, "chance": rule.chance}
    numbers |= {"difference": rule.difference.delta, "p": rule.difference.p}
    plain = {key: round(value, 4) if np.isfinite(value) else None for key, value in numbers.items()}
    return {"language": rule.language, "rule": rule.rule, "unit": rule.unit, "items": rule.items} | plain


@dataclass(frozen=True)
class LengthRow:
    """One language of one task, for the terminal and the page: "take the longest" by characters and by bytes, "take the
    shortest" by characters, each (accuracy, low, high)."""

    task: str
    language: str
    items: int
    chance: float
    longest: tuple[float, float, float]
    longest_bytes: tuple[float, float, float]
    shortest: tuple[float, float, float]


def length_table(findings: Sequence[Finding]) -> list[LengthRow]:
    """The accuracies in an audit's findings, by task and language; empty for tasks of label words."""
    rows = []
    for finding in findings:
        if finding.check != CHECK or finding.language:
            continue
        by_language: dict[str, dict[tuple[str, str], Mapping[str, float]]] = {}
        listed = finding.evidence.get("rules", ())
        assert isinstance(listed, (list, tuple))
        for one in listed:
            by_language.setdefault(one["language"], {})[one["rule"], one["unit"]] = one
        for code, of in by_language.items():
            longest = of["longest", "characters"]
            shown = (longest, of["longest", "bytes"], of["shortest", "characters"])
            three = [(one["accuracy"], one["low"], one["high"]) for one in shown]
            rows.append(LengthRow(finding.task, code, int(longest["items"]), longest["chance"], *three))
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
