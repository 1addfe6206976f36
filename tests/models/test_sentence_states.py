from __future__ import annotations

import numpy as np
import pytest

from spillover.core.errors import DataError
from spillover.models import sentence_states as module
from spillover.models.load import attach_intervention
from spillover.models.sentence_states import sentence_states
from tests.builders import make_model
from tests.models.builders import hidden_states, intervene

TEXTS = ["good", "Review: bad. Sentiment", "评论 情感 good bad", "it was good"]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("budget", [1, 2048])
def test_means_equal_those_of_single_texts(family, budget, monkeypatch):
    monkeypatch.setattr(module, "BATCH_TOKENS", budget)
    model = make_model(family=family)
    found = sentence_states(model, TEXTS)
    assert found.means.dtype == np.float32
    for text, means, count in zip(TEXTS, found.means, found.tokens, strict=True):
        states = hidden_states(model, model.tokenizer(text).input_ids)[:, 1:]
        assert count == states.shape[1]
        np.testing.assert_allclose(means, states.mean(1).numpy(), atol=1e-4)


def test_the_states_are_the_models_without_its_intervention(tiny):
    steered = attach_intervention(tiny, intervene(tiny, {1: np.ones(32)}))
    np.testing.assert_array_equal(sentence_states(steered, TEXTS).means, sentence_states(tiny, TEXTS).means)


def test_rows_are_taken_with_their_lengths(tiny):
    states = sentence_states(tiny, TEXTS)
    taken = states.take(np.array([2, 0]))
    np.testing.assert_array_equal(taken.means, states.means[[2, 0]])
    assert taken.tokens.tolist() == states.tokens[[2, 0]].tolist()


def test_a_text_of_one_token_or_too_many_is_named(tiny):
    with pytest.raises(DataError, match="German: 'g' has 1 tokens"):
        sentence_states(tiny, ["good", "g"], where="German")
    with pytest.raises(DataError, match="tokens"):
        sentence_states(tiny, ["good " * 5000])
