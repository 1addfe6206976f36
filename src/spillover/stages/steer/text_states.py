"""The base model's states of the parallel text: one forward pass, which several methods may share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from spillover.core.types import Progress
from spillover.models.load import Model
from spillover.models.sentence_states import SentenceStates, sentence_states
from spillover.stages.steer.parallel_text import ParallelText


@dataclass(frozen=True)
class TextStates:
    """by_language: of each sentence, as `sentence_states` gives them. data: the text's hash. seconds: of computing."""

    by_language: Mapping[str, SentenceStates]
    data: str
    seconds: float


def text_states(base: Model, text: ParallelText, progress: Progress) -> TextStates:
    """The states of every language's sentences."""
    started = time.monotonic()
    states = {
        code: sentence_states(base, sentences, where=f"parallel text {code}", progress=progress)
        for code, sentences in text.sentences.items()
    }
    return TextStates(states, text.fingerprint, time.monotonic() - started)


def shared_states(
    base: Model, text: ParallelText, earlier: list[TextStates] | None, progress: Progress
) -> tuple[TextStates, float]:
    """(the states, how long an earlier call took to compute them, 0 where this one does). earlier: those of calls with
    the same base; what is computed is added."""
    for states in earlier or ():
        if states.data == text.fingerprint:
            return states, states.seconds
    states = text_states(base, text, progress)
    if earlier is not None:
        earlier.append(states)
    return states, 0.0
