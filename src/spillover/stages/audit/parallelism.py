"""Is line i the same item in every language? Found from the texts' shape, not from their ids.

1. Each item of a language is compared with what the other languages say of it and of its neighbours up to
   `shift_lines` away: log length and punctuation (as correlated normal variables), numbers and capitalised names
   (by how rare they are).
2. The best path through these shifts, with a price for every change of shift, gives the runs that are off.
3. Items whose rare numbers and names stand in another item altogether were put in the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Finding
from spillover.stages.audit.profile import LINES, Languages, counted

Floats = NDArray[np.float64]
PRICE = 6.0  # nats for a change of shift: about one in 400 items
FLAT = 1e-5  # a spread below it is float32's rounding: all values are the same
GAIN = 10.0  # nats that a run must win over no shift
RARITY = 4.0  # nats that one shared number or name counts at most
ELSEWHERE = 10.0  # nats of rare anchors that say an item is another one
FEW = 4  # items that an anchor may stand in and still point at one
ENOUGH = 50  # items below which a low correlation says nothing
LITTLE = 0.2  # correlation of lengths below which nothing is parallel
SHAPES = 0.5  # lengths and marks of one text say partly the same


@dataclass(frozen=True)
class Run:
    """Rows `start` to `end` (exclusive, in item numbers) of a language that are the items `shift` lines further on."""

    language: str
    start: int
    end: int
    shift: int
    gain: float


def missing_items(languages: Languages) -> Iterator[Finding]:
    """Items that a language lacks, or that only it has. Sees ids only: an item under another's id is not missing.

    An item that less than half of the languages have is extra where it stands; any other is missing where it does not.
    """
    present, names = languages.present(), languages.names()
    share = present.mean(axis=0)
    for code, own in zip(languages.profiles, present, strict=True):
        lacking = np.flatnonzero(~own & (share >= 0.5))
        if len(lacking):
            ceiling = own.sum() / (own.sum() + len(lacking))
            yield languages.finding(
                "missing-item", "error", code, f"{counted(len(lacking), 'are')} missing", [names[i] for i in lacking],
                evidence={"found by": "ids"}, ceiling=float(ceiling), mend="add them, or --missing-items intersection",
            )  # fmt: skip
        extra = np.flatnonzero(own & (share < 0.5))
        if len(extra):
            yield languages.finding(
                "extra-item", "warning", code, f"{counted(len(extra), 'are')} in few other languages",
                [names[i] for i in extra], evidence={"found by": "ids"}, mend="--missing-items intersection drops them",
            )  # fmt: skip


def shifted_items(languages: Languages, runs: list[Run]) -> Iterator[Finding]:
    """Runs of rows that are their neighbours: a line left out or put in, and all after it off by one.

    Labels that moved with their text leave a perfect model's score as it is, and break every comparison by item.
    Sees shifts of up to `shift_lines` over at least `shift_items` rows, without reading ids or languages. Cannot see
    shifts among items that are alike in length, marks, numbers and names, or shorter runs.
    """
    names, gold = languages.names(), languages.labels()
    for code in dict.fromkeys(run.language for run in runs):
        own = [run for run in runs if run.language == code]
        rows = sorted({i for run in own for i in range(run.start, run.end)})
        labels = gold[list(languages.profiles).index(code)]
        others = np.delete(gold, list(languages.profiles).index(code), axis=0)
        wrong = sum(_label_at(others, i + run.shift) != labels[i] for run in own for i in range(run.start, run.end))
        places = ", ".join(f"{names[r.start]} to {names[r.end - 1]} by {r.shift:+}" for r in own[:5])
        yield languages.finding(
            "shifted-items", "error", code, f"{counted(len(rows), 'hold')} the text of a neighbour: {places}",
            [names[i] for i in rows], certainty="likely", ceiling=1 - float(wrong) / len(labels),
            evidence={"found by": "lengths, marks, numbers and names", "nats": [round(run.gain, 1) for run in own]},
            mend="put the missing line in, or take the extra one out, and number the rows again",
        )  # fmt: skip


def _label_at(gold: NDArray[np.int32], item: int) -> int:
    if not 0 <= item < gold.shape[1]:
        return -2
    found = gold[:, item][gold[:, item] >= 0]
    return int(np.bincount(found).argmax()) if len(found) else -2


def misplaced_items(languages: Languages, runs: list[Run]) -> Iterator[Finding]:
    """Single items whose numbers and names are those of another item, and files in no order at all.

    Sees rows with rare numbers or names that at least a quarter of the other languages keep. Cannot see a row without
    them, unless the whole file is out of order: then lengths no longer go together.
    """
    names = languages.names()
    expected = _Expected(languages)
    shifted = {
        code: {i for r in runs if r.language == code for i in range(r.start, r.end)} for code in languages.profiles
    }
    correlations = _length_correlations(languages)
    known = [value for value in correlations.values() if value == value]
    typical = float(np.median(known)) if known else np.nan
    for code, found in languages.profiles.items():
        if len(found.items) >= ENOUGH and correlations[code] < LITTLE < 0.5 < typical:
            yield languages.finding(
                "unordered-items", "error", code, f"lengths go with the others' by {correlations[code]:.2f} only",
                [names[i] for i in found.items], certainty="likely", ceiling=None,
                evidence={"correlation": round(correlations[code], 3), "others": round(typical, 3)},
                mend="sort the rows as in the other languages",
            )  # fmt: skip
            continue
        moved = {i: j for i, j in expected.elsewhere(code).items() if i not in shifted[code]}
        if moved:
            yield languages.finding(
                "misplaced-item", "warning", code,
                f"{counted(len(moved), 'have')} the numbers and names of another item", [names[i] for i in moved],
                certainty="likely", mend="compare the two rows",
                evidence={"found by": "numbers, names", "other item": {names[i]: names[j] for i, j in moved.items()}},
            )  # fmt: skip


def find_shifts(languages: Languages) -> list[Run]:
    """Every run of every language that fits its neighbours better than itself; blamed on the language itself, or, with
    two languages, on the one that is not the reference."""
    n, reach = len(languages.ids), languages.config.shift_lines
    if len(languages.profiles) < 2 or n < 2 * languages.config.shift_items:
        return []
    expected = _Expected(languages)
    scaled, total, counted = _standardised(languages)
    runs = []
    for number, code in enumerate(languages.profiles):
        if len(languages.profiles) == 2 and code == languages.reference:
            continue
        scores = expected.anchor_scores(code, reach)
        scores += SHAPES * _shape_scores(scaled[number], (total - scaled[number]) / np.maximum(counted - 1, 1), reach)
        path = best_path(scores)
        runs += [
            run
            for run in _runs(code, path - reach, scores, reach)
            if run.end - run.start >= languages.config.shift_items
        ]
    return runs


def best_path(scores: Floats) -> NDArray[np.int64]:
    """[n, shifts] → [n]: the column for each row that wins most in all, at `PRICE` for each change (Viterbi)."""
    n, shifts = scores.shape
    back = np.zeros((n, shifts), dtype=np.int16)
    best = scores[0] - PRICE * (np.arange(shifts) != shifts // 2)
    stay = np.arange(shifts)
    for i in range(1, n):
        top = int(best.argmax())
        change = best[top] - PRICE > best
        back[i] = np.where(change, top, stay)
        best = np.where(change, best[top] - PRICE, best) + scores[i]
    path = np.zeros(n, dtype=np.int64)
    path[-1] = int(best.argmax())
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path


def _runs(code: str, shifts: NDArray[np.int64], scores: Floats, reach: int) -> Iterator[Run]:
    edges = np.flatnonzero(np.diff(shifts, prepend=shifts[0] - 1, append=shifts[-1] - 1) != 0)
    for start, end in pairwise(edges.tolist()):
        shift = int(shifts[start])
        gain = float((scores[start:end, shift + reach] - scores[start:end, reach]).sum())
        if shift and gain >= GAIN:
            yield Run(code, int(start), int(end), shift, gain)


def _standardised(languages: Languages) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """[languages, items, features] with mean 0 and variance 1 by language, 0 where an item is lacking; their sum over
    the languages, and how many have the item."""
    shapes = languages.shapes()
    flat = shapes.reshape(*shapes.shape[:2], -1)
    scaled = standardised(flat)
    return scaled, scaled.sum(axis=0), languages.present().sum(axis=0)[:, None]


def standardised(values: NDArray[np.float32]) -> Floats:
    """[languages, items, features], NaN where an item is lacking → mean 0 and variance 1 by language and feature,
    within ±3; 0 where an item is lacking or all are alike. Every language has an item."""
    mean, spread = np.nanmean(values, axis=1, keepdims=True), np.nanstd(values, axis=1, keepdims=True)
    scaled = (values - mean) * np.where(spread > FLAT, 1 / np.maximum(spread, FLAT), 0)
    return np.asarray(np.nan_to_num(np.clip(scaled, -3, 3), nan=0.0), dtype=np.float64)


def _shape_scores(own: Floats, others: Floats, reach: int) -> Floats:
    """[items, shifts]: log-likelihood ratio of "the same item" against "any item", summed over the features."""
    spread = others.std(axis=0)
    others = others / np.where(spread > FLAT, spread, 1)
    n = len(own)
    shifted = [_moved(others, shift) for shift in range(-reach, reach + 1)]
    rho = np.clip(np.max([(own * other).mean(axis=0) for other in shifted], axis=0), 0.0, 0.95)
    scores = np.full((n, 2 * reach + 1), -1.0)
    for column, shift in enumerate(range(-reach, reach + 1)):
        other = shifted[column]
        ratio = -0.5 * np.log(1 - rho**2) - (rho**2 * (own**2 + other**2) - 2 * rho * own * other) / (2 * (1 - rho**2))
        inside = slice(max(0, -shift), n - max(0, shift))
        scores[inside, column] = ratio.sum(axis=1)[inside]
    return scores


def _moved(values: Floats, shift: int) -> Floats:
    """Row i is row i + shift; rows from beyond the end are 0."""
    moved = np.zeros_like(values)
    inside = slice(max(0, -shift), len(values) - max(0, shift))
    moved[inside] = values[inside.start + shift : inside.stop + shift]
    return moved


def _length_correlations(languages: Languages) -> dict[str, float]:
    """Each language's correlation of a field's length with the mean of the others', of the field where it is highest;
    NaN where all texts are equally long."""
    scaled, total, _ = _standardised(languages)
    lengths = range(0, scaled.shape[2], LINES)
    found = {}
    for number, code in enumerate(languages.profiles):
        own, others = scaled[number][:, lengths], (total - scaled[number])[:, lengths]
        usable = (own.std(axis=0) > FLAT) & (others.std(axis=0) > FLAT)
        pairs = zip(own.T[usable], others.T[usable], strict=True)
        found[code] = max((float(np.corrcoef(one, other)[0, 1]) for one, other in pairs), default=np.nan)
    return found


class _Expected:
    """The numbers and names that the other languages keep in each item: (item, anchor) pairs and how rare each is."""

    def __init__(self, languages: Languages) -> None:
        self.languages = languages
        self.own = {
            code: np.unique(_pair(found.items[found.anchor_rows], found.anchors))
            for code, found in languages.profiles.items()
        }
        self.pairs, self.counts = np.unique(np.concatenate(list(self.own.values())), return_counts=True)

    def of_others(self, code: str, share: float = 0.25) -> tuple[NDArray[np.uint64], Floats]:
        """(pairs that at least a share of the other languages have, nats of each) seen from one language."""
        counts = self.counts - np.isin(self.pairs, self.own[code], assume_unique=True)
        pairs = self.pairs[counts >= max(1, (len(self.own) - 1) * share)]
        anchors = pairs & np.uint64(0xFFFFFFFF)
        _, where, often = np.unique(anchors, return_inverse=True, return_counts=True)
        return pairs, np.log(len(self.languages.ids) / often[where])

    def anchor_scores(self, code: str, reach: int) -> Floats:
        """[items, shifts] nats of the numbers and names that an item shares with the item so many lines on."""
        pairs, nats = self.of_others(code)
        own = self.own[code]
        items, anchors = (own >> np.uint64(32)).astype(np.int64), own & np.uint64(0xFFFFFFFF)
        scores = np.zeros((len(self.languages.ids), 2 * reach + 1))
        if not len(pairs):
            return scores
        for column, shift in enumerate(range(-reach, reach + 1)):
            wanted = _pair(np.maximum(items + shift, 0), anchors)
            place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
            hit = pairs[place] == wanted
            np.add.at(scores[:, column], items[hit], np.minimum(nats[place[hit]], RARITY))
        return scores

    def elsewhere(self, code: str) -> dict[int, int]:
        """Items that share nothing with their own row in the other languages and much with another: item → that."""
        pairs, nats = self.of_others(code, 0.5)
        known = set(pairs.tolist())
        by_anchor: dict[int, list[tuple[int, float]]] = {}
        for pair, nat in zip(pairs.tolist(), nats.tolist(), strict=True):
            by_anchor.setdefault(pair & 0xFFFFFFFF, []).append((pair >> 32, nat))
        expecting = set((pairs >> np.uint64(32)).tolist())
        own: dict[int, list[int]] = {}
        for pair in self.own[code].tolist():
            own.setdefault(pair >> 32, []).append(pair & 0xFFFFFFFF)
        found = {}
        for item, anchors in own.items():
            votes: dict[int, float] = {}
            if item not in expecting or any(item << 32 | anchor in known for anchor in anchors):
                continue
            for anchor in anchors:
                for other, nat in by_anchor.get(anchor, ())[:FEW]:
                    votes[other] = votes.get(other, 0.0) + nat
            if votes and max(votes.values()) >= ELSEWHERE:
                found[item] = max(votes, key=lambda other: votes[other])
        return found


def _pair(items: NDArray[np.int64] | NDArray[np.int32], anchors: NDArray[np.generic]) -> NDArray[np.uint64]:
    return items.astype(np.uint64) << np.uint64(32) | anchors.astype(np.uint64)
