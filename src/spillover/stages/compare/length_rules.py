"""The change in accuracy under every length rule, beside each other: none is chosen after the scores are seen."""

from __future__ import annotations

from typing import get_args

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.types import Evaluation, Length
from spillover.stages.compare.format import percent
from spillover.stages.compare.pairing import join
from spillover.stages.compare.result import Sentence, Topic

RULES: dict[Length, str] = {"sum": "summed", "token": "per token", "byte": "per byte"}


def length_sentences(before: Evaluation, after: Evaluation, config: CompareConfig) -> list[Sentence]:
    """Mean accuracy over the languages before and after, under each length rule; for items that bring their own
    answers. It says which rule is the headline, and where that is not the one that the task declares."""
    scores = next(iter(before.scores.values()))
    if scores.kind == "labels":
        return []
    accuracies = {length: _accuracies(before, after, config, length) for length in get_args(Length)}
    known = {length: values for length, values in accuracies.items() if values is not None}
    listed = ", ".join(f"{RULES[length]} {percent(old)} → {percent(new)} %" for length, (old, new) in known.items())
    headline: Length = config.length or scores.length
    text = f"Mean accuracy by length rule: {listed}. The headline is {RULES[headline]}"
    text += ", as the task declares." if headline == scores.length else f"; the task declares {RULES[scores.length]}."
    return [Sentence(Topic.LENGTHS, text, {"headline": headline, "declared": scores.length, **known})]


def _accuracies(
    before: Evaluation, after: Evaluation, config: CompareConfig, length: Length
) -> tuple[float, float] | None:
    """(before, after); None where the length of an answer is not known."""
    try:
        pairs = join(before, after, config.model_copy(update={"length": length}))
    except DataError:
        return None
    old, new = (float(np.mean([sides[i].hits().mean() for sides in pairs.values()])) for i in (0, 1))
    return old, new
