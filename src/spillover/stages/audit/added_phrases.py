"""Phrases that recur in one language's texts and lengthen them, beside the reference's texts of the same items.

1. Character runs that recur in many texts of a sample, in which equal texts count once.
2. Of these, the runs whose texts are longer beside their counterparts than the other texts are.
3. Each run extended to both sides as far as most of its texts agree. It stands at the beginning or the end of the texts
   or holds a colon or a bracket: what recurs amid a sentence is mostly the language's own way of saying it.
4. Left out where the counterparts share a phrase too, which is a template of the task.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.added_affixes import NOTE_MARK
from spillover.stages.audit.recurring_runs import LEAST_TEXTS, Runs, recurring_runs, run_length, share_a_run
from spillover.stages.audit.text_features import weighted_length

SAMPLE = 500  # texts in which phrases are searched for: a phrase in 2 % of the rows stands in ten of them
STRETCH = 5  # runs one after the other that recur alike: about ten letters, seven characters of Chinese
AGREE = 0.8  # share of a run's texts that must go on alike, and of counterparts that share a phrase
LONGEST = 200  # characters to which a run is extended on each side
LEAST_DEVIATIONS = 2.5  # standard errors by which texts with a phrase are longer than the others
OVERSHOOT = 0.4  # share of a phrase's length by which its texts may be too short without it
LARGEST_EXCESS = 1.0  # nats; longer texts count no more
USUAL = 0.9  # share of the texts above which a phrase is kept whatever their lengths: all may have it
MOST_PHRASES = 8

Floats = NDArray[np.float64]


def added_phrases(texts: Sequence[str], counterparts: Sequence[str], least_share: float) -> list[str]:
    """Phrases in at least `least_share` of a language's texts that may have been added to them, the longest first.

    texts, counterparts: one field of the same items, in the language and in the reference. At most 8, found in a sample
    of 500 texts, with no blanks around them.
    """
    if not texts:
        return []
    numbers = _distinct_sample(texts)
    sample, facing = [texts[i] for i in numbers], [counterparts[i] for i in numbers]
    excess = length_excess(sample, facing)
    length = run_length(sample)
    runs = recurring_runs(sample, length, max(LEAST_TEXTS, math.ceil(least_share * len(sample))))
    phrases: list[str] = []
    extended: list[str] = []
    for number in _lengthening(runs, excess):
        holders, start = runs.texts[number], runs.starts[number]
        run = sample[holders[0]][start : start + length]
        if any(run in phrase for phrase in extended):
            continue
        phrase = _extended(run, [sample[i] for i in holders])
        extended.append(phrase)
        has_phrase = np.array([phrase in text for text in sample])
        with_phrase = [sample[i] for i in np.flatnonzero(has_phrase)]
        if not _stands_apart(phrase, with_phrase) or not _explains(phrase, has_phrase, sample, excess):
            continue
        inside, outside = ([facing[i] for i in np.flatnonzero(chosen)] for chosen in (has_phrase, ~has_phrase))
        if not share_a_run(inside, outside, phrase=phrase, share=AGREE):
            phrases.append(phrase)
            if len(phrases) == MOST_PHRASES:
                break
    return sorted(phrases, key=len, reverse=True)


def _distinct_sample(texts: Sequence[str]) -> list[int]:
    """Numbers of up to 500 different texts from all over the file."""
    first_of_text = {text: i for i, text in reversed(list(enumerate(texts)))}
    numbers = sorted(first_of_text.values())
    chosen = np.linspace(0, len(numbers) - 1, min(SAMPLE, len(numbers))).astype(np.int64)
    return [numbers[i] for i in chosen]


def length_excess(texts: Sequence[str], counterparts: Sequence[str]) -> Floats:
    """[n] log length of each text less its counterpart's, less the median of that."""
    logs = [
        math.log1p(weighted_length(text)) - math.log1p(weighted_length(other))
        for text, other in zip(texts, counterparts, strict=True)
    ]
    ratios = np.array(logs, dtype=np.float64)
    return np.clip(ratios - np.median(ratios), -LARGEST_EXCESS, LARGEST_EXCESS)


def _lengthening(runs: Runs, excess: Floats) -> list[int]:
    """Numbers of the runs whose texts are longer than the others, those that explain the most length first."""
    n, total, spread = len(excess), float(excess.sum()), float(excess.std())
    gains: dict[int, float] = {}
    for number, texts in enumerate(runs.texts):
        k = len(texts)
        if runs.stretches[number] < STRETCH:
            continue
        if k >= USUAL * n:
            gains[number] = runs.stretches[number]
            continue
        inside = float(excess[texts].sum())
        difference = inside / k - (total - inside) / (n - k)
        if difference >= LEAST_DEVIATIONS * spread * math.sqrt(1 / k + 1 / (n - k)):
            gains[number] = runs.stretches[number]
    return sorted(gains, key=lambda number: -gains[number])


def _extended(run: str, texts: Sequence[str]) -> str:
    """The run and what stands on both sides of it in most of the texts, without blanks at its ends."""
    starts = [text.find(run) for text in texts]
    before = _common_beginning([text[max(0, i - LONGEST) : i][::-1] for text, i in zip(texts, starts, strict=True)])
    after = _common_beginning([text[i + len(run) :][:LONGEST] for text, i in zip(texts, starts, strict=True)])
    return (before[::-1] + run + after).strip()


def _common_beginning(texts: Sequence[str]) -> str:
    """What at least `AGREE` of the texts begin with."""
    least, common, agreeing = AGREE * len(texts), "", list(texts)
    while True:
        following = Counter(text[len(common)] for text in agreeing if len(text) > len(common))
        character, count = following.most_common(1)[0] if following else ("", 0)
        if count == 0 or count < least:
            return common
        common += character
        agreeing = [text for text in agreeing if text.startswith(common)]


def _explains(phrase: str, has_phrase: NDArray[np.bool_], sample: Sequence[str], excess: Floats) -> bool:
    """Whether the texts with a phrase are longer than the others by nearly as much as it is long."""
    n_with = int(has_phrase.sum())
    if n_with >= USUAL * len(sample):
        return True
    added = weighted_length(phrase)
    lengths = [weighted_length(text) for text, there in zip(sample, has_phrase, strict=True) if there]
    expected = np.mean([math.log1p(size) - math.log1p(max(size - added, 0)) for size in lengths])
    difference = excess[has_phrase].mean() - np.median(excess[~has_phrase])
    return bool(difference >= (1 - OVERSHOOT) * min(float(expected), LARGEST_EXCESS))


def _stands_apart(phrase: str, texts: Sequence[str]) -> bool:
    """Whether it stands at the beginning or the end of most of the texts that have it, or has a colon or a bracket."""
    at_an_end = sum(text.strip().startswith(phrase) or text.strip().endswith(phrase) for text in texts)
    return at_an_end >= AGREE * len(texts) or NOTE_MARK.search(phrase) is not None
