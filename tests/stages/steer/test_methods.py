from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.models.sentence_states import SentenceStates, sentence_states
from spillover.stages.steer.methods import (
    METHODS,
    arrays_by_language,
    exchanged_sides,
    incline,
    language_vector,
    mean_shift,
    other_language_arrays,
    other_partners,
    random_arrays,
    shuffled_arrays,
)
from spillover.stats.ridge import PENALTIES
from tests.builders import make_model
from tests.models.builders import hidden_states
from tests.stages.steer.builders import random_states

TEXTS = {
    "de": ["good bad", "Premise good Answer", "Review: bad."],
    "en": ["different", "Sentence same bad", "neutral good"],
}


@pytest.fixture(scope="module")
def tokens():
    """Token states of each text by language, [layers + 1, t, hidden], by the test's own forward passes; and the stage's."""
    model = make_model()
    token_states = {
        code: [hidden_states(model, model.tokenizer(text).input_ids)[:, 1:].double().numpy() for text in texts]
        for code, texts in TEXTS.items()
    }
    return token_states, {code: sentence_states(model, texts) for code, texts in TEXTS.items()}


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_each_method_equals_a_direct_implementation_layer_by_layer(layer, tokens):
    token_states, states = tokens
    source, target = ([text[layer] for text in token_states[code]] for code in ("de", "en"))
    means = [np.concatenate(side).mean(axis=0) for side in (source, target)]
    shift = mean_shift(states["de"], states["en"], (layer, 2 if layer < 2 else 0))
    np.testing.assert_allclose(shift[layer], means[1] - means[0], atol=1e-5)

    vector = language_vector(states["de"], states["en"], [layer])[layer]
    pairs = [one.mean(axis=0) - other.mean(axis=0) for one, other in zip(source, target, strict=True)]
    np.testing.assert_allclose(vector, np.mean(pairs, axis=0), atol=1e-5)

    x, y = (np.stack([text.mean(axis=0) for text in side]) for side in (source, target))
    found = incline(states["de"], states["en"], [layer])[layer]
    largest = np.linalg.norm(x, 2) ** 2
    direct = [np.linalg.solve(x.T @ x + share * largest * np.eye(x.shape[1]), x.T @ y) for share in PENALTIES]
    assert min(np.abs(found - solution).max() for solution in direct) < 1e-3


def test_the_shift_back_is_the_reverse_at_its_own_layer():
    source, target = random_states(0), random_states(1)
    arrays = mean_shift(source, target, (1, 3))
    mean = [np.average(side.means[:, 3], axis=0, weights=side.tokens) for side in (source, target)]
    assert list(arrays) == [1, 3]
    np.testing.assert_allclose(arrays[3], mean[0] - mean[1], atol=1e-6)


@pytest.mark.parametrize("layer", [1, 2])
def test_a_shift_that_was_planted_is_found_at_its_layer_and_not_a_block_off(layer):
    """Two languages whose sentences are the same, but for a vector that the model adds to hidden state `layer` of one."""
    model, shift = make_model(), np.linspace(-1, 1, 32)
    block = model.module.model.layers[layer - 1]
    plain = sentence_states(model, TEXTS["en"])
    handle = block.register_forward_hook(
        lambda _m, _a, out: (
            (out[0] + torch.tensor(shift).float(), *out[1:])
            if isinstance(out, tuple)
            else out + torch.tensor(shift).float()
        )
    )
    planted = sentence_states(model, TEXTS["en"])
    handle.remove()
    found = language_vector(planted, plain, [0, 1, 2])
    np.testing.assert_allclose(found[layer], shift, atol=1e-5)
    for below in range(layer):
        np.testing.assert_allclose(found[below], 0, atol=1e-5)
    np.testing.assert_allclose(mean_shift(planted, plain, (layer, 0))[layer], -shift, atol=1e-5)


def test_random_arrays_add_as_much_in_another_direction():
    states = {"en": random_states(0), "de": random_states(1), "es": random_states(2)}
    for method in METHODS.values():
        real = arrays_by_language(method, states, "en", [1, 2][: method.n_layers])
        null = random_arrays(real, np.random.default_rng(0))
        for code, own in real.items():
            for layer, array in own.items():
                assert np.linalg.norm(null[code][layer] - array) > 0.5 * np.linalg.norm(array)
                state = states["de"].means[:, layer] @ array if array.ndim > 1 else array
                changed = states["de"].means[:, layer] @ null[code][layer] if array.ndim > 1 else null[code][layer]
                np.testing.assert_allclose(np.linalg.norm(changed, axis=-1), np.linalg.norm(state, axis=-1))


def test_random_directions_are_uniform():
    real = {"de": {1: np.eye(3)[0]}}
    draws = np.stack([random_arrays(real, np.random.default_rng(i))["de"][1] for i in range(2000)])
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(draws.T @ draws / 2000, np.eye(3) / 3, atol=0.03)


def test_every_language_gets_the_next_ones_arrays():
    arrays = {code: {1: np.full(2, i)} for i, code in enumerate(("de", "es", "fr"))}
    assert {code: own[1][0] for code, own in other_language_arrays(arrays).items()} == {"de": 1, "es": 2, "fr": 0}
    assert other_language_arrays({"de": arrays["de"]}) == {}


def test_no_sentence_keeps_its_partner_and_sides_are_exchanged_whole():
    source, target = random_states(0), random_states(1)
    one, other = other_partners(source, target, np.random.default_rng(0))
    assert one is source
    assert not any((a == b).all() for a, b in zip(other.means, target.means, strict=True))
    np.testing.assert_array_equal(np.sort(other.means, axis=0), np.sort(target.means, axis=0))
    one, other = exchanged_sides(source, target, np.random.default_rng(0))
    swapped = (one.means == target.means).all(axis=(1, 2))
    assert 0 < swapped.sum() < len(swapped)
    np.testing.assert_array_equal(one.means + other.means, source.means + target.means)
    np.testing.assert_array_equal(one.tokens, np.where(swapped, target.tokens, source.tokens))


def test_shuffled_vectors_have_the_norm_of_the_real_ones_and_another_direction():
    shifted = random_states(1)
    states = {"en": random_states(0), "de": SentenceStates(shifted.means + 2, shifted.tokens)}
    for name in ("mean-shift", "language-vector"):
        method = METHODS[name]
        real = arrays_by_language(method, states, "en", [1, 2][: method.n_layers])
        null = shuffled_arrays(method, states, "en", real, np.random.default_rng(0))["de"]
        for layer, array in real["de"].items():
            assert np.linalg.norm(null[layer]) == pytest.approx(np.linalg.norm(array))
            assert abs(null[layer] @ array) < 0.9 * (array @ array)


def test_a_map_of_shuffled_pairs_does_not_predict_translations():
    source = random_states(0, n=200)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    target = replace(source, means=(source.means @ rotation).astype(np.float32))
    states, method = {"en": target, "de": source}, METHODS["incline"]
    real = arrays_by_language(method, states, "en", [1])
    null = shuffled_arrays(method, states, "en", real, np.random.default_rng(0))
    error = {
        name: np.square(source.means[:, 1] @ own["de"][1] - target.means[:, 1]).mean()
        for name, own in (("real", real), ("null", null))
    }
    assert error["real"] < 1e-6
    assert error["null"] > 0.8 * np.square(target.means[:, 1]).mean()
