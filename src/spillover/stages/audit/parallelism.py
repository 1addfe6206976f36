"""Is line i the same item in every language? Found from the texts' shape, not from their ids.

1. Each item of a language is compared with the other languages' texts of it and of its neighbours up to
   `shift_lines` away: log length and punctuation (as correlated normal variables), numbers and capitalised names
   (by how rare they are).
2. The best path through these shifts, with a price for every change of shift, gives the blocks that are shifted.
3. Items whose rare numbers and names stand in another item altogether were put in the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.exchange_odds import exchanged_languages
from spillover.stages.audit.inputs import Fault, computed_once
from spillover.stages.audit.messages import counted
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.text_features import SHAPE_FEATURES

Floats = NDArray[np.float64]
CHANGE_PRICE = 6.0  # nats for a change of shift: about one in 400 items
LEAST_SPREAD = 1e-5  # a smaller one is float32's rounding: all values are the same
LEAST_GAIN = 10.0  # nats that a block must win over no shift
MOST_ANCHOR_NATS = 4.0  # of one shared number or name
MISPLACED_NATS = 10.0  # of rare anchors from which an item is another one
ANCHOR_ITEMS = 4  # items that an anchor may stand in and still point at one
UNORDERED_ITEMS = 50  # with fewer items a low correlation says nothing
UNORDERED_CORRELATION = 0.2  # of lengths, below which nothing is parallel
PARALLEL_CORRELATION = 0.5  # of lengths, above which the other languages are parallel
SHAPE_WEIGHT = 0.5  # lengths and punctuation of one text are correlated
HALF = 0.5  # share of the languages that decides whether an item is missing or extra
SHOWN_BLOCKS = 5


@dataclass(frozen=True)
class ShiftedBlock:
    """Rows `start` to `end` (exclusive, in item numbers) of a language that are the items `shift` lines further on."""

    language: str
    start: int
    end: int
    shift: int
    gain: float


def missing_items(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items that a language lacks and at least half of the languages have. Sees ids only: cannot see that an item
    stands under another's id."""
    present, ids = languages.present(), languages.item_ids()
    usual = present.mean(axis=0) >= HALF
    for code, here in zip(languages.profiles, present, strict=True):
        lacking = np.flatnonzero(~here & usual)
        if len(lacking):
            yield Fault(
                f"{counted(len(lacking), 'are')} missing",
                [ids[i] for i in lacking],
                code,
                evidence={"found by": "ids"},
                ceiling=float(here.sum() / (here.sum() + len(lacking))),
                suggestion="add them, or --missing-items intersection",
            )


def extra_items(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items that less than half of the languages have. Sees ids only: cannot see that an item is another under a new
    id."""
    present, ids = languages.present(), languages.item_ids()
    rare = present.mean(axis=0) < HALF
    for code, here in zip(languages.profiles, present, strict=True):
        extra = np.flatnonzero(here & rare)
        if len(extra):
            yield Fault(
                f"{counted(len(extra), 'are')} in few other languages",
                [ids[i] for i in extra],
                code,
                evidence={"found by": "ids"},
                suggestion="--missing-items intersection drops them",
            )


def shifted_items(languages: LanguageProfiles) -> Iterator[Fault]:
    """Blocks of rows that hold their neighbours' text: a line left out or put in, and all after it off by one.

    Labels that moved with their text leave a perfect model's score as it is, and break every comparison by item.
    Sees shifts of up to `shift_lines` over at least `shift_items` rows, without reading ids or languages. Passes over
    files that `exchanged-fields` explains. Cannot see shifts among items that are alike in length, punctuation, numbers
    and names, or shorter blocks.
    """
    ids, labels = languages.item_ids(), languages.labels()
    by_language: dict[str, list[ShiftedBlock]] = {}
    for block in find_shifts(languages):
        by_language.setdefault(block.language, []).append(block)
    for code, blocks in by_language.items():
        number = languages.codes.index(code)
        others = np.delete(labels, number, axis=0)
        items = sorted(shifted_item_numbers(languages)[code])
        wrong = sum(
            _majority_label(others, i + block.shift) != labels[number, i]
            for block in blocks
            for i in range(block.start, block.end)
        )
        listed = ", ".join(f"{ids[b.start]} to {ids[b.end - 1]} by {b.shift:+}" for b in blocks[:SHOWN_BLOCKS])
        yield Fault(
            f"{counted(len(items), 'hold')} the text of a neighbour: {listed}",
            [ids[i] for i in items],
            code,
            evidence={
                "found by": "lengths, marks, numbers and names",
                "nats": [round(block.gain, 1) for block in blocks],
            },
            ceiling=1 - float(wrong) / labels.shape[1],
            certainty="likely",
            suggestion="put the missing line in, or remove the extra one, and number the rows again",
        )


def shifted_item_numbers(languages: LanguageProfiles) -> dict[str, set[int]]:
    """Numbers of the items in shifted blocks, by language; languages without any are left out."""
    items: dict[str, set[int]] = {}
    for block in find_shifts(languages):
        items.setdefault(block.language, set()).update(range(block.start, block.end))
    return items


def _majority_label(labels: NDArray[np.int32], item: int) -> int:
    """The most frequent label of an item, -2 when it has none."""
    if not 0 <= item < labels.shape[1]:
        return -2
    given = labels[:, item][labels[:, item] >= 0]
    return int(np.bincount(given).argmax()) if len(given) else -2


def unordered_items(languages: LanguageProfiles) -> Iterator[Fault]:
    """Files in no order at all: lengths that do not correlate with the other languages', whose lengths correlate.

    Sees files of at least 50 items. Passes over files that `exchanged-fields` explains. Cannot see a file whose texts
    are all equally long.
    """
    ids = languages.item_ids()
    typical, unordered = _order(languages)
    for code, correlation in unordered.items():
        yield Fault(
            f"lengths correlate with the other languages' by {correlation:.2f} only",
            [ids[i] for i in languages.profiles[code].items],
            code,
            evidence={"correlation": round(correlation, 3), "others": round(typical, 3)},
            certainty="likely",
            suggestion="sort the rows as in the other languages",
        )


def unordered_languages(languages: LanguageProfiles) -> frozenset[str]:
    """The languages whose files are in no order."""
    return frozenset(_order(languages)[1])


@computed_once
def _order(languages: LanguageProfiles) -> tuple[float, dict[str, float]]:
    """(median correlation of lengths over the languages, correlation of the languages that are in no order)."""
    correlations = _length_correlations(languages)
    defined = [value for value in correlations.values() if not np.isnan(value)]
    typical = float(np.median(defined)) if defined else np.nan
    return typical, {
        code: correlation
        for code, correlation in correlations.items()
        if len(languages.profiles[code].items) >= UNORDERED_ITEMS
        and correlation < UNORDERED_CORRELATION
        and typical > PARALLEL_CORRELATION
        and code not in exchanged_languages(languages)
    }


def misplaced_items(languages: LanguageProfiles) -> Iterator[Fault]:
    """Single items whose numbers and names are those of another item.

    Sees rows with rare numbers or names that at least a quarter of the other languages keep. Passes over what
    `shifted-items` and `unordered-items` explain. Cannot see a row without numbers and names.
    """
    ids, expected = languages.item_ids(), _expected_anchors(languages)
    shifted, unordered = shifted_item_numbers(languages), unordered_languages(languages)
    for code in languages.profiles:
        if code in unordered:
            continue
        misplaced = {ids[i]: ids[j] for i, j in expected.misplaced(code).items() if i not in shifted.get(code, ())}
        if misplaced:
            yield Fault(
                f"{counted(len(misplaced), 'have')} the numbers and names of another item",
                list(misplaced),
                code,
                evidence={"found by": "numbers, names", "other item": misplaced},
                certainty="likely",
                suggestion="compare the two rows",
            )


@computed_once
def find_shifts(languages: LanguageProfiles) -> list[ShiftedBlock]:
    """Every block of every language that fits its neighbours better than itself; attributed to the language itself, or,
    with two languages, to the one that is not the reference."""
    limits, reach = languages.thresholds, languages.thresholds.shift_lines
    if len(languages.profiles) < 2 or len(languages.ids) < 2 * limits.shift_items:
        return []
    expected = _expected_anchors(languages)
    scaled, total, n_languages = _standardised_shapes(languages)
    blocks = []
    for number, code in enumerate(languages.profiles):
        if languages.believed(code) or code in exchanged_languages(languages):
            continue
        others = (total - scaled[number]) / np.maximum(n_languages - 1, 1)
        scores = expected.anchor_scores(code, reach) + SHAPE_WEIGHT * _shape_scores(scaled[number], others, reach)
        for block in _shifted_blocks(code, best_path(scores) - reach, scores, reach):
            if block.end - block.start >= limits.shift_items:
                blocks.append(block)
    return blocks


def best_path(scores: Floats) -> NDArray[np.int64]:
    """[n, shifts] → [n]: the column of each row on the path with the highest total score, at `CHANGE_PRICE` for each
    change (Viterbi)."""
    n, shifts = scores.shape
    back = np.zeros((n, shifts), dtype=np.int16)
    best = scores[0] - CHANGE_PRICE * (np.arange(shifts) != shifts // 2)
    stay = np.arange(shifts)
    for i in range(1, n):
        top = int(best.argmax())
        change = best[top] - CHANGE_PRICE > best
        back[i] = np.where(change, top, stay)
        best = np.where(change, best[top] - CHANGE_PRICE, best) + scores[i]
    path = np.zeros(n, dtype=np.int64)
    path[-1] = int(best.argmax())
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path


def _shifted_blocks(code: str, shifts: NDArray[np.int64], scores: Floats, reach: int) -> Iterator[ShiftedBlock]:
    edges = np.flatnonzero(np.diff(shifts, prepend=shifts[0] - 1, append=shifts[-1] - 1) != 0)
    for start, end in pairwise(edges.tolist()):
        shift = int(shifts[start])
        gain = float((scores[start:end, shift + reach] - scores[start:end, reach]).sum())
        if shift and gain >= LEAST_GAIN:
            yield ShiftedBlock(code, int(start), int(end), shift, gain)


def _standardised_shapes(languages: LanguageProfiles) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """[languages, items, features] with mean 0 and variance 1 by language, 0 where an item is lacking; their sum over
    the languages, and how many have the item."""
    shapes = languages.shapes()
    scaled = standardised(shapes.reshape(*shapes.shape[:2], -1))
    return scaled, scaled.sum(axis=0), languages.present().sum(axis=0)[:, None]


def standardised(values: NDArray[np.float32]) -> Floats:
    """[languages, items, features], NaN where an item is lacking → mean 0 and variance 1 by language and feature,
    within ±3; 0 where an item is lacking or all are alike. Every language has an item."""
    mean, spread = np.nanmean(values, axis=1, keepdims=True), np.nanstd(values, axis=1, keepdims=True)
    scaled = (values - mean) * np.where(spread > LEAST_SPREAD, 1 / np.maximum(spread, LEAST_SPREAD), 0)
    return np.asarray(np.nan_to_num(np.clip(scaled, -3, 3), nan=0.0), dtype=np.float64)


def _shape_scores(shapes: Floats, others: Floats, reach: int) -> Floats:
    """[items, shifts]: log-likelihood ratio of "the same item" against "any item", summed over the features."""
    spread = others.std(axis=0)
    others = others / np.where(spread > LEAST_SPREAD, spread, 1)
    n = len(shapes)
    shifted = [_moved(others, shift) for shift in range(-reach, reach + 1)]
    rho = np.clip(np.max([(shapes * other).mean(axis=0) for other in shifted], axis=0), 0.0, 0.95)
    scores = np.full((n, 2 * reach + 1), -1.0)
    for column, shift in enumerate(range(-reach, reach + 1)):
        other = shifted[column]
        quadratic = rho**2 * (shapes**2 + other**2) - 2 * rho * shapes * other
        ratio = -0.5 * np.log(1 - rho**2) - quadratic / (2 * (1 - rho**2))
        inside = slice(max(0, -shift), n - max(0, shift))
        scores[inside, column] = ratio.sum(axis=1)[inside]
    return scores


def _moved(values: Floats, shift: int) -> Floats:
    """Row i is row i + shift; rows from beyond the end are 0."""
    moved = np.zeros_like(values)
    inside = slice(max(0, -shift), len(values) - max(0, shift))
    moved[inside] = values[inside.start + shift : inside.stop + shift]
    return moved


def _length_correlations(languages: LanguageProfiles) -> dict[str, float]:
    """Each language's correlation of a field's length with the mean of the others', in the field where it is highest;
    NaN where all texts are equally long."""
    scaled, total, _ = _standardised_shapes(languages)
    lengths = range(0, scaled.shape[2], SHAPE_FEATURES)
    correlations = {}
    for number, code in enumerate(languages.profiles):
        language_lengths, other_lengths = scaled[number][:, lengths], (total - scaled[number])[:, lengths]
        usable = (language_lengths.std(axis=0) > LEAST_SPREAD) & (other_lengths.std(axis=0) > LEAST_SPREAD)
        pairs = zip(language_lengths.T[usable], other_lengths.T[usable], strict=True)
        correlations[code] = max((float(np.corrcoef(*pair)[0, 1]) for pair in pairs), default=np.nan)
    return correlations


class ExpectedAnchors:
    """The numbers and names that the other languages keep in each item: (item, anchor) pairs and how rare each is."""

    def __init__(self, languages: LanguageProfiles) -> None:
        """languages: with at least one profile."""
        self.n_items = len(languages.ids)
        self.by_language = {
            code: np.unique(_pair(profile.items[profile.anchor_rows], profile.anchors))
            for code, profile in languages.profiles.items()
        }
        self.pairs, self.counts = np.unique(np.concatenate(list(self.by_language.values())), return_counts=True)

    def of_others(self, code: str, share: float = 0.25) -> tuple[NDArray[np.uint64], Floats]:
        """(pairs that at least a share of the other languages have, nats of each) seen from one language."""
        counts = self.counts - np.isin(self.pairs, self.by_language[code], assume_unique=True)
        pairs = self.pairs[counts >= max(1, (len(self.by_language) - 1) * share)]
        anchors = pairs & np.uint64(0xFFFFFFFF)
        _, where, often = np.unique(anchors, return_inverse=True, return_counts=True)
        return pairs, np.log(self.n_items / often[where])

    def anchor_scores(self, code: str, reach: int) -> Floats:
        """[items, shifts] nats of the numbers and names that an item shares with the item so many lines on."""
        pairs, nats = self.of_others(code)
        language_pairs = self.by_language[code]
        items = (language_pairs >> np.uint64(32)).astype(np.int64)
        anchors = language_pairs & np.uint64(0xFFFFFFFF)
        scores = np.zeros((self.n_items, 2 * reach + 1))
        if not len(pairs):
            return scores
        for column, shift in enumerate(range(-reach, reach + 1)):
            wanted = _pair(np.maximum(items + shift, 0), anchors)
            position = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
            hit = pairs[position] == wanted
            np.add.at(scores[:, column], items[hit], np.minimum(nats[position[hit]], MOST_ANCHOR_NATS))
        return scores

    def misplaced(self, code: str) -> dict[int, int]:
        """Items that share nothing with their own row in the other languages and much with another: item → that."""
        pairs, nats = self.of_others(code, 0.5)
        known = set(pairs.tolist())
        by_anchor: dict[int, list[tuple[int, float]]] = {}
        for pair, nat in zip(pairs.tolist(), nats.tolist(), strict=True):
            by_anchor.setdefault(pair & 0xFFFFFFFF, []).append((pair >> 32, nat))
        expecting = set((pairs >> np.uint64(32)).tolist())
        anchors_of: dict[int, list[int]] = {}
        for pair in self.by_language[code].tolist():
            anchors_of.setdefault(pair >> 32, []).append(pair & 0xFFFFFFFF)
        misplaced = {}
        for item, anchors in anchors_of.items():
            votes: dict[int, float] = {}
            if item not in expecting or any(item << 32 | anchor in known for anchor in anchors):
                continue
            for anchor in anchors:
                for other, nat in by_anchor.get(anchor, ())[:ANCHOR_ITEMS]:
                    votes[other] = votes.get(other, 0.0) + nat
            if votes and max(votes.values()) >= MISPLACED_NATS:
                misplaced[item] = max(votes, key=lambda other: votes[other])
        return misplaced


@computed_once
def _expected_anchors(languages: LanguageProfiles) -> ExpectedAnchors:
    return ExpectedAnchors(languages)


def _pair(items: NDArray[np.int64] | NDArray[np.int32], anchors: NDArray[np.generic]) -> NDArray[np.uint64]:
    return items.astype(np.uint64) << np.uint64(32) | anchors.astype(np.uint64)
