"""Placebo arms: the same questions, format and length without what should help.

shuffled  each question with the translation of another: format and English, but no correspondence
copy      each target question with itself: format and English, but no other language
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillover.core.errors import DataError
from spillover.core.types import TrainingPair


def apply_arm(arm: str, pairs: Sequence[TrainingPair], rng: np.random.Generator) -> list[TrainingPair]:
    """The pairs of an arm: "translation" leaves them as they are."""
    if arm == "shuffled":
        return shuffled(pairs, rng)
    if arm == "copy":
        return [copied(pair) for pair in pairs]
    return list(pairs)


def shuffled(pairs: Sequence[TrainingPair], rng: np.random.Generator) -> list[TrainingPair]:
    """Completions moved along a random cycle within each direction, so that none stays where it was."""
    directions: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(pairs):
        directions.setdefault((pair.source, pair.target), []).append(i)
    result = list(pairs)
    for (source, target), places in directions.items():
        if len(places) < 2:
            raise DataError(
                f"build.arm: one pair from {source} to {target} cannot be shuffled", hint="--pairs 2 or more"
            )
        cycle = rng.permutation(places)
        for here, there in zip(cycle, np.roll(cycle, 1), strict=True):
            result[here] = replace(pairs[here], completion=pairs[there].completion)
    return result


def copied(pair: TrainingPair) -> TrainingPair:
    """The pair with its own target question in place of the source question, the instruction kept."""
    instruction = pair.prompt[pair.prompt.rindex("\n", 0, len(pair.prompt.rstrip("\n"))) :]
    return replace(pair, prompt=pair.completion + instruction)
