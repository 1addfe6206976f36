"""Are an item's own answers in the same order in every language?

1. What it costs to take a language's answer for that at each place of the others: log length and punctuation, each
   Laplace-distributed about the others' median, less what numbers and names in Latin letters say that it shares.
2. For each item, the cheapest other order against the order as it is. Where the label differs from the other
   languages', only orders that explain it; else the label is wrong, not the order.
3. The share of such items in a language by expectation-maximisation, apart for items whose label differs, and with it
   the odds of each item. So one item needs much evidence of its own, and where a whole file is in another order an item
   needs little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spillover.stages.audit.answer_indices import NO_INDEX, indices_from_zero
from spillover.stages.audit.expected_lengths import Floats, median, median_of_others
from spillover.stages.audit.inputs import Fault, computed_once
from spillover.stages.audit.label_consensus import NO_CONSENSUS, Labels, consensus
from spillover.stages.audit.messages import counted
from spillover.stages.audit.parallelism import shifted_item_numbers, unordered_languages
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.row_repairs import ReorderChoices

LENGTH_COST, MARK_COST = 6.0, 2.0  # most nats that one description of an answer may add
LEAST_SCALE = 0.05  # of a description: without it every difference would be decisive
# Of the log lengths of an item's answers in the other languages: minimal pairs differ by the grammar of each language.
LEAST_DIFFERENCE = 0.2
NUMBER_NATS, NAME_NATS, MOST_SHARED_NATS = 6.0, 3.0, 8.0  # of what an answer shares with those at a place
ROUNDS = 50
# Pseudo-items in and out of order: a label that differs is explained by the order as likely as not, others rarely.
DIFFERING_PRIOR, AGREEING_PRIOR = (1.0, 1.0), (0.5, 9.5)
LEAST_GAIN = 5.0  # nats that a share must win over none, where no label speaks for it
CERTAIN_ODDS = 1e4  # from which choices are put back
FORBIDDEN = 1e6


@dataclass(frozen=True, eq=False)
class ChoiceOrder:
    """One language. log_odds: [items] that the answers are in another order than in the other languages; -inf where
    nothing speaks for it. places: [items, slots] the others' place of each answer in the order that fits best. differs:
    [items] the label is not the other languages'."""

    language: str
    log_odds: Floats
    places: NDArray[np.int64]
    differs: NDArray[np.bool_]


@computed_once
def choice_orders(languages: LanguageProfiles) -> Mapping[str, ChoiceOrder]:
    """By language, of tasks whose items bring their own answers; empty where there is nothing to compare. With two
    languages the reference is believed."""
    if languages.slots < 2 or len(languages.profiles) < 2 or not languages.task.parallel:
        return {}
    indices, counts = indices_from_zero(languages), languages.n_choices()
    agreed = consensus(indices, languages.slots, languages.thresholds.consensus)[0]
    usual = median(np.where(counts > 0, counts, np.nan).astype(np.float64), 0)
    shifted, unordered = shifted_item_numbers(languages), unordered_languages(languages)
    orders = {}
    for number, (code, costs) in enumerate(zip(languages.profiles, _costs(languages), strict=True)):
        judged = (indices[number] != NO_INDEX) & (agreed[number] != NO_CONSENSUS) & (counts[number] == usual)
        judged &= (indices[number] < languages.slots) & (agreed[number] < counts[number])
        judged[list(shifted.get(code, ()))] = False
        if not languages.believed(code) and code not in unordered:
            orders[code] = _order(code, costs, indices[number], agreed[number], np.where(judged, counts[number], 0))
    return orders


def _order(code: str, costs: Floats, indices: Labels, agreed: Labels, counts: NDArray[np.int32]) -> ChoiceOrder:
    """costs: [items, slots, slots] of each answer at each place. counts: [items], 0 for an item that is not judged."""
    differs = (counts > 0) & (indices != agreed)
    nats, places = _best_orders(costs, indices, agreed, differs, counts)
    log_odds = np.full(len(nats), -np.inf)
    for group, prior, least in (
        (differs, DIFFERING_PRIOR, -math.inf),
        ((counts > 0) & ~differs, AGREEING_PRIOR, LEAST_GAIN),
    ):
        log_odds[group] = _log_odds(nats[group], prior, least)
    return ChoiceOrder(code, log_odds, places, differs)


def _best_orders(
    costs: Floats, indices: Labels, agreed: Labels, differs: NDArray[np.bool_], counts: NDArray[np.int32]
) -> tuple[Floats, NDArray[np.int64]]:
    """([items] nats by which the best other order fits better than the one given, less the log of how many there are;
    [items, slots] that order)."""
    n, slots = costs.shape[:2]
    nats, places = np.full(n, -np.inf), np.tile(np.arange(slots), (n, 1))
    as_is = np.diagonal(costs, axis1=1, axis2=2)
    better = ((costs.min(axis=2) < as_is) & (np.arange(slots) < counts[:, None])).any(axis=1)
    for i in np.flatnonzero(differs | (better & (counts > 0))).tolist():
        count, label = int(counts[i]), int(indices[i])
        allowed = costs[i, :count, :count].copy()
        n_orders = math.factorial(count) - 1
        if differs[i]:
            allowed[label] += FORBIDDEN * (np.arange(count) != agreed[i])
            n_orders = math.factorial(count - 1)
        order = linear_sum_assignment(allowed)[1]
        if (order != np.arange(count)).any():
            fitted = allowed[np.arange(count), order].sum()
            nats[i] = as_is[i, :count].sum() - fitted - math.log(n_orders)
            places[i, :count] = order
    return nats, places


def _log_odds(nats: Floats, prior: tuple[float, float], least_gain: float) -> Floats:
    """[n] log odds of another order, with the share of such items that fits all of them best; all -inf where it wins
    less than `least_gain` over none."""
    inside, outside = prior
    share = inside / (inside + outside)
    for _ in range(ROUNDS):
        odds = np.exp(np.clip(nats + math.log(share / (1 - share)), -700, 60))
        share = float(((odds / (1 + odds)).sum() + inside) / (len(nats) + inside + outside))
    gain = np.logaddexp(math.log1p(-share), math.log(share) + nats).sum()
    if gain < least_gain:
        return np.full(len(nats), -np.inf)
    return np.asarray(nats + math.log(share / (1 - share)))


def _costs(languages: LanguageProfiles) -> Floats:
    """[languages, items, slots, slots] what it costs, in nats, to take each answer for that at each place of the other
    languages; 0 where nothing is known."""
    shapes = languages.choice_shapes()
    costs = np.zeros((*shapes.shape[:3], shapes.shape[2]))
    lengths = shapes[..., 0]
    offsets = median((lengths - median(lengths, 0)).reshape(len(lengths), -1), 1)
    marks = [(np.log1p(shapes[..., mark]), MARK_COST) for mark in range(1, shapes.shape[3])]
    for described, most in [(lengths - offsets[:, None, None], LENGTH_COST), *marks]:
        expected = median_of_others(described)
        typical = [_mean(np.abs(own - other)) for own, other in zip(described, expected, strict=True)]
        scale = max(float(np.median(typical)), LEAST_SCALE)
        if most == LENGTH_COST:
            expected = np.where(_range(expected) < LEAST_DIFFERENCE, np.nan, expected)
        for own, other, cost in zip(described, expected, costs, strict=True):
            cost += np.minimum(np.nan_to_num(np.abs(own[:, :, None] - other[:, None, :]) / scale), most)
    for number, shared in enumerate(_shared_nats(languages)):
        costs[number] -= np.minimum(shared, MOST_SHARED_NATS)
    return costs


def _range(values: Floats) -> Floats:
    """[..., slots] → [..., 1] largest less smallest, without NaN; 0 where there is nothing else."""
    largest, smallest = (np.where(np.isfinite(values), values, sign * np.inf) for sign in (-1, 1))
    ranges = largest.max(axis=-1, keepdims=True) - smallest.min(axis=-1, keepdims=True)
    return np.where(np.isfinite(ranges), ranges, 0.0)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _shared_nats(languages: LanguageProfiles) -> Iterator[Floats]:
    """For each language [items, slots, slots]: numbers and names of each answer that the other languages have at each
    place, by the share of the languages that have them there."""
    n_items, slots = len(languages.ids), languages.slots
    columns, present = languages.choices, languages.present().sum(axis=0)
    keys = {
        code: np.unique(
            _key(languages.profiles[code].items[own.anchor_rows], own.anchor_slots, own.anchors, own.is_number)
        )
        for code, own in columns.items()
    }
    known, counts = np.unique(np.concatenate(list(keys.values())), return_counts=True)
    for own_keys in keys.values():
        shared = np.zeros((n_items, slots, slots))
        items, rest = (own_keys >> np.uint64(37)).astype(np.int64), own_keys & np.uint64((1 << 33) - 1)
        own_slots = ((own_keys >> np.uint64(33)) & np.uint64(0xF)).astype(np.int64)
        nats = np.where(rest & np.uint64(1), NUMBER_NATS, NAME_NATS)
        for place in range(slots):
            wanted = own_keys & ~np.uint64(0xF << 33) | np.uint64(place << 33)
            at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            n_here = np.where(known[at] == wanted, counts[at], 0) - np.isin(wanted, own_keys)
            share = n_here / np.maximum(present[items] - 1, 1)
            np.add.at(shared[:, :, place], (items, own_slots), nats * share)
        yield shared


def _key(
    items: NDArray[np.int32], slots: NDArray[np.int32], anchors: NDArray[np.uint32], is_number: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """Item, place, number or name and which of both as one number of 64 bits."""
    parts = items.astype(np.uint64) << np.uint64(37) | slots.astype(np.uint64) << np.uint64(33)
    return np.asarray(parts | anchors.astype(np.uint64) << np.uint64(1) | is_number.astype(np.uint64))


def reordered_item_numbers(languages: LanguageProfiles) -> dict[str, NDArray[np.int64]]:
    """Numbers of the items whose odds of another order are at least `exchange_odds`, by language."""
    least = math.log(languages.thresholds.exchange_odds)
    return {code: np.flatnonzero(order.log_odds >= least) for code, order in choice_orders(languages).items()}


def answer_labels(languages: LanguageProfiles) -> Labels:
    """[languages, items] label of each item, -1 for none. Where items bring their own answers: its index, counted from
    0 and at its place in the other languages' order, so that what is left to differ is wrong."""
    if languages.task.kind == "labels":
        return languages.labels()
    labels, given = languages.labels().copy(), indices_from_zero(languages)
    labels = np.where(given != NO_INDEX, given, labels)
    reordered = reordered_item_numbers(languages)
    for number, code in enumerate(languages.profiles):
        order = choice_orders(languages).get(code)
        if order is not None:
            items = reordered[code][order.differs[reordered[code]]]
            labels[number, items] = order.places[items, labels[number, items]]
    return labels


def order_odds(languages: LanguageProfiles) -> Floats:
    """[languages, items] log odds that another order of the answers explains a label that differs from the other
    languages', not a wrong label; -inf where labels are the same or items bring no answers."""
    odds = np.full((len(languages.profiles), len(languages.ids)), -np.inf)
    for code, order in choice_orders(languages).items():
        odds[languages.codes.index(code)] = np.where(order.differs, order.log_odds, -np.inf)
    return odds


def choice_order(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items whose own answers are in another order than in the other languages: with their label, which is a warning,
    since the item is right and only its comparison is not; or without it, which makes another answer the right one.

    Sees it from lengths, punctuation, numbers, and names in Latin letters, beside the other languages, and from a label
    that the other order explains. An item is named where the odds are at least `exchange_odds`. Passes over what
    `shifted-items` and `unordered-items` explain. Cannot see it where the answers are alike, such as most minimal
    pairs, nor whether one language is in another order than the reference where both are alone.
    """
    ids, indices, present = languages.item_ids(), indices_from_zero(languages), languages.present()
    for code, items in reordered_item_numbers(languages).items():
        order, number = choice_orders(languages)[code], languages.codes.index(code)
        labels = indices[number, items]
        kept = order.places[items, labels] == labels  # only wrong answers are elsewhere
        moved = order.differs[items]
        for chosen, what, is_wrong in (
            (items[moved | kept], "; the right answer is still the right one", False),
            (items[~moved & ~kept], " and their label is not", True),
        ):
            if len(chosen):
                yield _fault(languages, order, chosen, what, float(present[number].sum()) if is_wrong else 0.0, ids)


def _fault(
    languages: LanguageProfiles, order: ChoiceOrder, items: NDArray[np.int64], what: str, n_rows: float, ids: list[str]
) -> Fault:
    """n_rows: of the language where a perfect model misses these items, else 0."""
    certain = [i for i in items.tolist() if order.log_odds[i] >= math.log(CERTAIN_ODDS)]
    counts = languages.n_choices()[languages.codes.index(order.language)]
    orders = {ids[i]: np.argsort(order.places[i, : counts[i]]).tolist() for i in certain}
    ceiling = 1 - len(items) / n_rows if n_rows and certain else None
    scores = f"; a perfect model scores {100 * ceiling:.1f} %" if ceiling is not None else ""
    return Fault(
        f"{counted(len(items), 'have')} answers in another order than the other languages{what}{scores}",
        [ids[i] for i in items],
        order.language,
        evidence={
            "found by": "lengths, marks, numbers, names and labels",
            "nats": {ids[i]: round(float(order.log_odds[i]), 1) for i in items},
            "places": {ids[i]: order.places[i, : counts[i]].tolist() for i in items},
        },
        ceiling=ceiling,
        certainty="certain" if len(certain) == len(items) else "likely",
        suggestion="`--fix` reorders those that are certain" if certain else "compare the rows with the reference",
        severity=None if ceiling is None else "error",
        repair=ReorderChoices(orders, frozenset(ids[i] for i in certain if order.differs[i])) if certain else None,
    )
