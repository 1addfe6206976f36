"""A swapped adapter computes in each layer what the adapter that the layer is from computes there."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from spillover.core.config import ModelConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.models.load import attach_adapter, load_model
from spillover.stages.train.swapping import swap_layers
from tests.builders import save_adapter, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("swap")
    save_model(root / "base")
    save_adapter(root / "first", root / "base")
    # Another rank, another scale, other modules.
    save_adapter(root / "second", root / "base", r=2, lora_alpha=5, target_modules=["q_proj", "o_proj"])
    return root


@pytest.fixture(scope="module")
def config(folder):
    return ModelConfig(name=str(folder / "base"), dtype="float32", device="cpu")


def updates(adapter, layer):
    """By module of a layer, its update of the weights, from the adapter's file alone."""
    settings, tensors = (
        json.loads((adapter / "adapter_config.json").read_text()),
        load_file(adapter / "adapter_model.safetensors"),
    )
    found = {}
    for name, down in tensors.items():
        if "lora_A" in name and f".layers.{layer}." in name:
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            rank = settings["rank_pattern"].get(module, settings["r"])
            scale = settings["alpha_pattern"].get(module, settings["lora_alpha"]) / rank
            found[module] = scale * tensors[name.replace("lora_A", "lora_B")] @ down
    return found


@pytest.mark.parametrize(("layers", "of_first"), [("1", 0), ("0", 1)])
def test_each_layer_has_the_updates_of_its_adapter(folder, config, tmp_path, layers, of_first):
    first, second = folder / "first", folder / "second"
    ref = swap_layers(config, str(first), str(second), tmp_path / "swapped", layers=layers)
    expected = updates(first, of_first) | updates(second, 1 - of_first)
    swapped = updates(tmp_path / "swapped", 0) | updates(tmp_path / "swapped", 1)
    assert swapped.keys() == expected.keys()
    for name, update in expected.items():
        torch.testing.assert_close(swapped[name], update)
    base = load_model(config.name, dtype="float32", device="cpu")
    loaded = attach_adapter(base, str(tmp_path / "swapped"))
    assert loaded.ref == ref
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        logits = loaded.module(ids).logits
        for name, update in expected.items():  # the weights are those of `loaded` too
            base.module.get_submodule(name).weight += update
        torch.testing.assert_close(logits, base.module(ids).logits, atol=1e-4, rtol=1e-4)
    note = json.loads((tmp_path / "swapped" / "spillover.json").read_text())
    assert note["swapped"]["layers"] == layers
    assert [note["swapped"][side]["name"] for side in ("outer", "inner")] == ["first", "second"]


def test_what_cannot_be_swapped_is_one_line_and_writes_nothing(folder, config, tmp_path):
    first, out = str(folder / "first"), tmp_path / "swapped"
    with pytest.raises(ConfigError, match="all layers"):
        swap_layers(config, first, first, out, layers="outer")
    with pytest.raises(ConfigError, match="--layers"):
        swap_layers(config, first, first, out, layers="7")
    dora = save_adapter(tmp_path / "dora", folder / "base", use_dora=True)
    with pytest.raises(ModelError, match="differ in use_dora"):
        swap_layers(config, first, str(dora), out, layers="0")
    upper = save_adapter(tmp_path / "upper", folder / "base", layers_to_transform=[1])
    with pytest.raises(ModelError, match="none of the layers 0"):
        swap_layers(config, first, str(upper), out, layers="0")
    assert not out.exists()


def test_adapters_of_a_served_model_are_refused(config, tmp_path):
    served = config.model_copy(update={"server": ["http://127.0.0.1:9"]})
    with pytest.raises(ConfigError, match="swap: needs the model's weights"):
        swap_layers(served, "first", "second", tmp_path / "out")
