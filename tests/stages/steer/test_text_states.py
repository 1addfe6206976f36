"""States of parallel text in every language."""

from __future__ import annotations

import numpy as np

from spillover.core.types import no_progress
from spillover.models.sentence_states import sentence_states
from spillover.stages.steer.parallel_text import ParallelText
from spillover.stages.steer.text_states import text_states


def test_states_are_those_of_each_languages_sentences(tiny):
    text = ParallelText("en", {"en": ["a good day", "rain again"], "de": ["ein guter Tag", "wieder Regen"]})
    states = text_states(tiny, text, no_progress)
    assert states.data == text.fingerprint
    assert states.seconds > 0
    for code, sentences in text.sentences.items():
        np.testing.assert_array_equal(states.by_language[code].means, sentence_states(tiny, sentences).means)
