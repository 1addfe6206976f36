from __future__ import annotations

import numpy as np
import torch

from spillover.core.config import SteerConfig
from spillover.models.intervention import Base
from spillover.stages.steer.methods import METHODS
from spillover.stages.steer.recipe import Recipe, with_facts
from tests.stages.steer.builders import random_states


def recipe_of(method, codes=("en", "de", "es")):
    states = {code: random_states(i) for i, code in enumerate(codes)}
    base = Base(name="tiny", fingerprint="f", layers=3, hidden=6)
    return Recipe("mine", method, METHODS[method].positions, states, "en", base, "text")


def test_every_method_comes_with_three_nulls_of_the_same_making():
    for method in METHODS:
        recipe = recipe_of(method)
        real = recipe.intervention([1, 2][: METHODS[method].n_layers], 2.0)
        nulls = recipe.nulls(real, seed=0)
        assert list(nulls) == ["random", "other-language", "shuffled"]
        for null, intervention in nulls.items():
            assert intervention.name == f"mine-{null}"
            assert intervention.description == real.description.model_copy(update={"null": null})
            assert not torch.equal(intervention.tensors["de"][1], real.tensors["de"][1])
        assert torch.equal(nulls["other-language"].tensors["de"][1], real.tensors["es"][1])
        again = recipe.nulls(real, seed=0)
        assert [own.key for own in again.values()] == [own.key for own in nulls.values()]
        assert recipe.nulls(real, seed=1)["random"].key != nulls["random"].key


def test_a_single_language_has_no_other_languages_vector():
    recipe = recipe_of("language-vector", ("en", "de"))
    assert list(recipe.nulls(recipe.intervention([1], 1.0), seed=0)) == ["random", "shuffled"]


def test_facts_are_for_a_reader_alone():
    real = recipe_of("incline").intervention([1], SteerConfig().strength)
    noted = with_facts(with_facts(real, {"a": 1}), {"b": 2})
    assert noted.description.facts == {"a": 1, "b": 2}
    assert noted.key == real.key
    assert real.description.sentences == 12
    assert np.shape(real.tensors["es"][1]) == (6, 6)
