"""The odds that two fields of a row are exchanged with each other, from the same rows of the other languages.

1. What describes a field in any language: its log length less the language's own, its punctuation, whether it ends,
   whether its text recurs in other rows. Expected: the median of the other languages.
2. Each row as it is and with its fields exchanged: by how many nats the second fits better, each description
   Laplace-distributed about what is expected. Names and numbers count by the field they stand in, or the place in it.
3. A language's share of exchanged rows by expectation-maximisation; with it the odds of each row. So one row needs
   much evidence of its own, and where a whole file is exchanged a row needs little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.expected_lengths import median, median_of_others
from spillover.stages.audit.inputs import computed_once
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.text_features import SHAPE_FEATURES

Floats = NDArray[np.float64]
LENGTH_NATS, MARK_NATS, RECURRENCE_NATS = 12.0, 4.0, 7.0  # that one description of a row may add
LEAST_SCALE = 0.05  # of a description: without it every difference would be decisive
TILT_SCALE = 0.5  # of a name's place in a sentence, from language to language
TILT_LANGUAGES = 0.25  # share of the other languages that must have a name
TILT_NATS = 2.0  # of one name or number; first and last names come together
LEAST_GAIN = 5.0  # nats that the share must win over none
ROUNDS = 200
START_SHARE = 0.05
LEAST_SHARE, MOST_SHARE = 1e-5, 1 - 1e-5
LEAST_STEP = 1e-9  # of the share
MOST_EXPONENT = 60.0
# Share of exchanged rows from which a language is exchanged as a whole: texts in no order fit half and half.
MOST_ROWS = 0.9


@dataclass(frozen=True, eq=False)
class ExchangeOdds:
    """Two fields of a language, by number. log_odds: [items] that they are exchanged, -inf where they are equal or the
    language lacks the item. share: of the language's rows, 0 to 1."""

    language: str
    fields: tuple[int, int]
    log_odds: Floats
    share: float


@computed_once
def exchange_odds(languages: LanguageProfiles) -> list[ExchangeOdds]:
    """Every pair of fields that is exchanged in a share of a language's rows. With two languages the reference is
    believed."""
    n_fields = len(languages.task.fields)
    if len(languages.profiles) < 2 or n_fields < 2:
        return []
    present, texts = languages.present(), languages.texts()
    pairs = list(combinations(range(n_fields), 2))
    nats = np.zeros((len(pairs), *present.shape))
    for described, most_nats in _descriptions(languages):
        expected = median_of_others(described)
        for number, pair in enumerate(pairs):
            nats[number] += _exchange_nats(described[..., pair], expected[..., pair], most_nats)
    if n_fields == 2:
        nats[0] += _tilt_nats(languages)
    exchanges = []
    for number, code in enumerate(languages.profiles):
        for pair, pair_nats in zip(pairs, nats[:, number], strict=True):
            usable = present[number] & (texts[number, :, pair[0]] != texts[number, :, pair[1]])
            share = 0.0 if languages.believed(code) else _exchanged_share(pair_nats[usable])
            if share > 0:
                log_odds = np.where(usable, pair_nats + np.log(share / (1 - share)), -np.inf)
                exchanges.append(ExchangeOdds(code, pair, log_odds, share))
    return exchanges


def exchanged_languages(languages: LanguageProfiles) -> frozenset[str]:
    """The languages of which two fields are exchanged in most rows."""
    return frozenset(odds.language for odds in exchange_odds(languages) if odds.share > MOST_ROWS)


def _descriptions(languages: LanguageProfiles) -> Iterator[tuple[Floats, float]]:
    """([languages, items, fields] one description of each text, NaN where the language lacks the item; the most nats
    that it may add), one description after the other: all together would take much memory."""
    shapes, lacking = languages.shapes(), ~languages.present()
    lengths = shapes[..., 0].astype(np.float64)
    # One offset for all fields: it is the same whichever of them are exchanged.
    offsets = median((lengths - median(lengths, 0)).reshape(len(lengths), -1), 1)
    yield lengths - offsets[:, None, None], LENGTH_NATS
    for mark in range(1, SHAPE_FEATURES):
        yield np.log1p(shapes[..., mark].astype(np.float64)), MARK_NATS
    for flags, most_nats in ((languages.ends(), MARK_NATS), (_recurring(languages.texts()), RECURRENCE_NATS)):
        described = flags.astype(np.float64)
        described[lacking] = np.nan
        yield described, most_nats


def _recurring(texts: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """[languages, items, fields] whether the language has the text in another row or field too."""
    recurring = np.zeros(texts.shape, dtype=np.bool_)
    for language_texts, flags in zip(texts, recurring, strict=True):
        _, where, counts = np.unique(language_texts, return_inverse=True, return_counts=True)
        flags[:] = counts[where].reshape(flags.shape) > 1
    return recurring


def _exchange_nats(described: Floats, expected: Floats, most_nats: float) -> Floats:
    """[languages, items, 2] → [languages, items] nats by which two fields fit better exchanged than as they are; 0 for
    what is unknown."""
    as_is = np.abs(described - expected).sum(axis=2)
    exchanged = np.abs(described - expected[..., ::-1]).sum(axis=2)
    known = np.isfinite(as_is)
    # The better of the two: a scale that does not grow with the share of exchanged rows.
    better = np.where(known, np.minimum(as_is, exchanged), 0).sum(axis=1) / (2 * np.maximum(known.sum(axis=1), 1))
    nats = np.where(known, as_is - exchanged, 0) / np.maximum(better, LEAST_SCALE)[:, None]
    return np.asarray(np.clip(nats, -most_nats, most_nats))


def _tilt_nats(languages: LanguageProfiles) -> Floats:
    """[languages, items] nats by which numbers and names fit better with two fields exchanged."""
    nats = np.zeros((len(languages.profiles), len(languages.ids)))
    columns = [
        (p.items[p.tilt_rows].astype(np.uint64) << np.uint64(32) | p.tilt_names.astype(np.uint64), p.tilts / 100)
        for p in languages.profiles.values()
    ]
    pairs, where = np.unique(np.concatenate([keys for keys, _ in columns]), return_inverse=True)
    counts = np.bincount(where, minlength=len(pairs))
    totals = np.bincount(where, weights=np.concatenate([tilts for _, tilts in columns]), minlength=len(pairs))
    least = max(1.0, TILT_LANGUAGES * (len(columns) - 1))
    for number, (keys, tilts) in enumerate(columns):
        position = np.searchsorted(pairs, keys)
        others = counts[position] - 1
        expected = (totals[position] - tilts) / np.maximum(others, 1)
        better = (np.abs(tilts - expected) - np.abs(tilts + expected)) / TILT_SCALE
        better = np.clip(better, -TILT_NATS, TILT_NATS)
        known = others >= least
        np.add.at(nats[number], (keys[known] >> np.uint64(32)).astype(np.int64), better[known])
    return nats


def _exchanged_share(nats: Floats) -> float:
    """The share of rows that are exchanged, from the nats of each; 0 where it wins too little over none."""
    share = START_SHARE
    for _ in range(ROUNDS):
        prior = np.log(share / (1 - share))
        odds = np.exp(np.clip(nats + prior, -MOST_EXPONENT, MOST_EXPONENT))
        previous, share = share, float(np.clip((odds / (1 + odds)).mean(), LEAST_SHARE, MOST_SHARE))
        if abs(share - previous) < LEAST_STEP:
            break
    gain = np.logaddexp(np.log1p(-share), np.log(share) + nats).sum()
    return share if gain >= LEAST_GAIN else 0.0
