from __future__ import annotations

import numpy as np

from spillover.models.sentence_states import SentenceStates
from spillover.stages.steer.layer_rule import layers_by_rule, retrieval_by_layer
from tests.stages.steer.builders import random_states


def test_retrieval_is_best_where_translations_are_alike():
    target, noise = random_states(0, n=30), random_states(1, n=30).means
    noise[:, 2] = target.means[:, 2] + 0.01 * noise[:, 2]
    found = retrieval_by_layer({"en": target, "de": SentenceStates(noise, target.tokens)}, "en")
    assert found.shape == (4,)
    assert found[2] == 1
    assert found[[0, 1, 3]].max() < 0.5
    both = retrieval_by_layer({"en": target, "de": SentenceStates(noise, target.tokens), "es": target}, "en")
    np.testing.assert_allclose(both, (found + 1) / 2)


def test_the_rule_takes_inner_layers_and_the_first_of_equal_ones():
    assert layers_by_rule(np.array([1, 0.2, 0.9, 0.9, 1]), 1) == (2,)
    assert layers_by_rule(np.array([1, 0.2, 0.9, 0.87, 1]), 2) == (2, 4)
    assert layers_by_rule(np.array([0, 0.9, 0.5, 0.88, 0.1, 0]), 2) == (1, 4)
    assert layers_by_rule(np.array([0.0, 0.0, 0.0]), 1) == (1,)
    assert layers_by_rule(np.array([0.0, 0.0, 0.0]), 2) == (1, 2)
