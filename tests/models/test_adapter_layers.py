"""An adapter kept in some layers is the base in all others, exactly."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from spillover.core.errors import ConfigError, ModelError
from spillover.models.adapter_layers import changed_layers, layer_numbers, layers_name, layers_text, linear_names
from spillover.models.load import attach_adapter, load_model
from tests.builders import FAMILIES, make_model, save_adapter, save_model

IDS = torch.arange(3, 40)[None]


def logits(model):
    with torch.no_grad():
        return model.module(IDS).logits


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("layers") / "base")


@pytest.fixture(scope="module")
def base(base_folder):
    return load_model(str(base_folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def adapter(base_folder, tmp_path_factory):
    return save_adapter(tmp_path_factory.mktemp("layers") / "adapter", base_folder)


def test_one_layer_kept_equals_the_others_zeroed_by_hand(base, adapter, tmp_path):
    for kept in (0, 1):
        zeroed = shutil.copytree(adapter, tmp_path / f"zeroed-{kept}")
        weights = load_file(zeroed / "adapter_model.safetensors")
        other = [name for name in weights if f".layers.{1 - kept}." in name and "lora_B" in name]
        assert len(other) == 2
        save_file(
            weights | {name: torch.zeros_like(weights[name]) for name in other}, zeroed / "adapter_model.safetensors"
        )
        masked = attach_adapter(base, str(adapter), layers=str(kept))
        assert torch.equal(logits(masked), logits(attach_adapter(base, str(zeroed))))
        assert not torch.equal(logits(masked), logits(attach_adapter(base, str(adapter))))
        assert not torch.equal(logits(masked), logits(base))
        assert set(changed_layers(masked.module)) == {kept}


def test_the_base_and_the_whole_adapter_are_what_they_were(base, adapter):
    before, whole = logits(base), attach_adapter(base, str(adapter))
    attach_adapter(base, str(adapter), layers="0")
    assert torch.equal(logits(base), before)
    every = attach_adapter(base, str(adapter), layers="outer")  # of two layers, both
    assert torch.equal(logits(every), logits(whole))
    assert every.ref == whole.ref
    assert every.ref.adapter_layers is None


def test_the_layers_are_in_the_name_and_the_fingerprint(base, base_folder, adapter):
    refs = [attach_adapter(base, str(adapter), layers=layers).ref for layers in (None, "0", "1")]
    assert len({ref.fingerprint for ref in refs}) == 3
    assert [ref.adapter_layers for ref in refs] == [None, "0", "1"]
    loaded = load_model(str(base_folder), adapter=str(adapter), adapter_layers="1", dtype="float32", device="cpu")
    assert loaded.ref == refs[2]


@pytest.mark.parametrize("options", [{"use_dora": True}, {"target_modules": "all-linear"}])
def test_a_layer_left_out_computes_as_the_base_whatever_the_method(base, base_folder, tmp_path, options):
    adapter = save_adapter(tmp_path / "adapter", base_folder, **options)
    masked = attach_adapter(base, str(adapter), layers="1")
    states = []
    for model in (base, masked):
        with torch.no_grad():
            states.append(model.module(IDS, output_hidden_states=True).hidden_states)
    assert torch.equal(states[0][1], states[1][1])
    assert not torch.equal(states[0][2], states[1][2])


def test_what_cannot_be_left_out_is_refused(base, base_folder, tmp_path):
    whole = save_adapter(tmp_path / "whole", base_folder, modules_to_save=["norm"])
    with pytest.raises(ModelError, match=r"replaces model\.layers\.0\.input_layernorm"):
        attach_adapter(base, str(whole), layers="1")
    upper = save_adapter(tmp_path / "u", base_folder, layers_to_transform=[1])
    with pytest.raises(ModelError, match="none of the layers 0, but 1"):
        attach_adapter(base, str(upper), layers="0")
    with pytest.raises(ConfigError, match="without an adapter"):
        load_model(str(base_folder), adapter_layers="0")


@pytest.mark.parametrize(
    ("layers", "count", "numbers"),
    [
        ("outer", 18, [0, 1, 2, 3, 14, 15, 16, 17]),
        ("middle", 18, [*range(4, 14)]),
        ("outer", 30, [*range(7), *range(23, 30)]),
        ("0-3, 10", 18, [0, 1, 2, 3, 10]),
        ("3,1,1-2", 4, [1, 2, 3]),
        ("middle", 3, [1]),
    ],
)
def test_words_for_layers(layers, count, numbers):
    assert layer_numbers(layers, count, "x") == tuple(numbers)
    assert layer_numbers(layers_text(numbers), count, "x") == tuple(numbers)


@pytest.mark.parametrize(
    "layers", ["", "2", "0-2", "1-0", "-1", "middle", "inner", "0,,1", "²", "0-999999999999", "9999"]
)
def test_words_that_name_no_layer_of_a_model_of_two(layers):
    with pytest.raises(ConfigError, match=r"train\.layers") as error:
        layer_numbers(layers, 2, "train.layers")
    assert "outer, middle" in error.value.hint


def test_numbers_are_written_in_their_shortest_form():
    assert layers_text([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert layers_text([4]) == "4"


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "bloom", "gemma3"])
def test_blocks_and_their_linear_layers_have_names(family):
    assert family in FAMILIES
    module = make_model(family=family).module
    assert layers_name(module) == {"bloom": "h"}.get(family, "layers")
    names = linear_names(module)
    assert names
    assert not any(name in ("lm_head", "embed_out") or "." in name for name in names)
