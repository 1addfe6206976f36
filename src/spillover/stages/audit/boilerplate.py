"""Text that was added to many rows of one language and that no other language has: notes, prefixes, HTML tags."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spillover.stages.audit.added_phrases import LARGEST_EXCESS, OVERSHOOT
from spillover.stages.audit.expected_lengths import Floats, log_shares
from spillover.stages.audit.inputs import Fault
from spillover.stages.audit.messages import counted, preview
from spillover.stages.audit.profile import LanguageProfiles, Phrase

HALF = 0.5
LEAST_SPREAD = 0.05  # of log lengths: below it every phrase would explain much


def boilerplate(languages: LanguageProfiles) -> Iterator[Fault]:
    """Text added to rows of one language: a translator's note, "Translation:", an assistant's preface.

    Sees, in any script, what recurs in `added_share` of the rows and has no counterpart in the reference: up to a colon
    or a bracket, a whole sentence, or any phrase of about ten letters (seven of Chinese) at the beginning or the end,
    or with a colon or bracket anywhere, that makes these rows longer than the other languages' lengths predict by as
    much as it is long (`added_nats`). Cannot see fewer than three rows, words that differ from row to row, a phrase
    without a mark amid the text, what half of the languages have; nor anything without the reference language.
    """
    ids, lengths, shares = languages.item_ids(), languages.shapes()[..., 0].astype(np.float64), log_shares(languages)
    for code, phrases in languages.phrases.items():
        if code not in shares:
            continue
        number = languages.codes.index(code)
        added = [
            phrase
            for phrase in phrases
            if not _is_usual(phrase, code, languages)
            and (
                phrase.known
                or length_gain(lengths[number, :, phrase.field], shares[code][:, phrase.field], phrase)
                >= languages.thresholds.added_nats
            )
        ]
        items = np.unique(np.concatenate([phrase.items for phrase in added])) if added else np.zeros(0, dtype=np.int32)
        if len(items):
            yield Fault(
                f"{counted(len(items), 'hold')} text that no other language has: {preview(p.text for p in added)}",
                [ids[i] for i in items],
                code,
                evidence={"found by": "recurrence, lengths", "phrases": {p.text: len(p.items) for p in added}},
                certainty="likely",
                suggestion="remove it",
            )


def _is_usual(phrase: Phrase, code: str, languages: LanguageProfiles) -> bool:
    """Whether half of the other languages have phrases of their own in the same items: the odd one is the reference."""
    n_others = len(languages.phrases) - 1
    alike = sum(
        any(HALF * len(phrase.items) <= len(np.intersect1d(phrase.items, other.items)) for other in phrases)
        for language, phrases in languages.phrases.items()
        if language != code
    )
    return n_others > 1 and alike >= HALF * n_others


def length_gain(log_length: Floats, log_share: Floats, phrase: Phrase) -> float:
    """Nats by which a language's lengths fit the other languages' better with a phrase taken off, each time
    Laplace-distributed about their median; 0 where the rows would then be too short.

    log_length: [items] of the phrase's field. log_share: what is left of the expected length.
    """
    known, has_phrase = np.isfinite(log_share), np.zeros(len(log_share), dtype=np.bool_)
    has_phrase[phrase.items] = True
    has_phrase &= known
    whole = np.expm1(log_length[has_phrase])
    taken_off = log_length[has_phrase] - np.log1p(np.maximum(whole - phrase.length, 0))
    shorter = log_share.copy()
    shorter[has_phrase] -= taken_off
    others = log_share[known & ~has_phrase]
    if len(others) and np.median(shorter[has_phrase]) - np.median(others) < -OVERSHOOT * taken_off.mean():
        return 0.0
    return float(known.sum() * np.log(_spread(log_share[known]) / _spread(shorter[known])))


def _spread(values: Floats) -> float:
    """Mean absolute deviation from the median, of which a single value adds no more than `LARGEST_EXCESS`."""
    return max(float(np.minimum(np.abs(values - np.median(values)), LARGEST_EXCESS).mean()), LEAST_SPREAD)


def stray_tags(languages: LanguageProfiles) -> Iterator[Fault]:
    """HTML tags in rows of one language of which `consensus` of the other languages have none.

    Sees tags by their form, closed or not. Cannot see remains of other markup.
    """
    tags, present, ids = languages.tags().sum(axis=2) > 0, languages.present(), languages.item_ids()
    for number, code in enumerate(languages.profiles):
        without = (present & ~tags).sum(axis=0) / np.maximum(present.sum(axis=0) - 1, 1)
        stray = np.flatnonzero(tags[number] & (without >= languages.thresholds.consensus))
        if len(stray) and not languages.believed(code):
            yield Fault(
                f"{counted(len(stray), 'have')} HTML tags that the other languages do not have",
                [ids[i] for i in stray],
                code,
                suggestion="remove the tags",
            )
