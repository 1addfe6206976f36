"""A model whose layers are on several devices gives what it gives on one. Where there is no second device, layers on
disk stand for it: accelerate's hooks load them, and every tensor of theirs is elsewhere (meta) until they compute."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spillover.core.errors import ConfigError, MissingExtra, ModelError
from spillover.models import load, placement
from spillover.models.load import load_model
from spillover.models.local import LocalEngine
from spillover.models.random_weights import randomly_initialised
from spillover.stages.probe.lens import LogitLens, top_tokens
from tests.builders import prompts_of, save_adapter
from tests.models.builders import pooled

HALF_ON_DISK = {
    "model.embed_tokens": "cpu", "lm_head": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu",
    "model.layers.0": "disk", "model.layers.1": "cpu",
}  # fmt: skip
MAPS = [{"": "cpu"}, {"": "disk"}, HALF_ON_DISK]


@pytest.mark.parametrize("device_map", MAPS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_spread_model_scores_and_is_probed_as_a_plain_one(tiny_folder, device_map, dtype, bfloat16_attention):
    plain = load_model(str(tiny_folder), dtype=dtype, device="cpu")
    spread = load_model(str(tiny_folder), dtype=dtype, device_map=device_map)
    assert spread.device.type == "cpu"
    assert placement.is_placed(spread.module) == (device_map != {"": "cpu"})
    prompts = prompts_of(6)
    for shared in (True, False):
        sides = []
        for model in (plain, spread):
            engine = LocalEngine(model, prefix_cache=shared)
            plan = engine.plan(prompts)
            sides.append(list(engine.score(plan, states=True)))
            assert engine.prefix_cache == shared
        for ours, theirs in zip(*sides, strict=True):
            np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=1e-6)
            np.testing.assert_array_equal(ours.states.active, theirs.states.active)
    for ours, theirs in zip(pooled(plain, prompts)[1], pooled(spread, prompts)[1], strict=True):
        for name, states in ours.items():
            np.testing.assert_allclose(states, theirs[name], atol=1e-6)


@pytest.mark.parametrize("device_map", MAPS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_lens_of_a_spread_model_is_that_of_a_plain_one(tiny_folder, device_map, dtype):
    plain = load_model(str(tiny_folder), dtype=dtype, device="cpu")
    spread = load_model(str(tiny_folder), dtype=dtype, device_map=device_map)
    states = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = LogitLens(spread), LogitLens(plain)
    torch.testing.assert_close(ours.logprobs(states), theirs.logprobs(states), atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.energy(states), theirs.energy(states))
    assert top_tokens(spread, "good", places=1, top=2) == top_tokens(plain, "good", places=1, top=2)


def test_what_was_loaded_where_is_logged(tiny_folder, caplog):
    with caplog.at_level("INFO"):
        load_model(str(tiny_folder), dtype="float32", device_map=HALF_ON_DISK)
    assert "needs: weights 0.0 GiB (float32), shared prefix 0.00 MiB a token, activations about" in caplog.text
    assert "as float32 on cpu (5), disk (1)" in caplog.text


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        ({"model": 7, "": "cpu"}, "model.device_map: model: device 'cuda:7' is not available"),
        ({"": "cuda:3"}, "model.device_map: all layers: device 'cuda:3' is not available"),
        ({"": "warp"}, "model.device_map: all layers: device 'warp' is not available"),
        ({"": "cpu", "model.layers.9": "disk"}, "do not match any submodules in the model: ['model.layers.9']"),
        ({**HALF_ON_DISK, "lm_head": "disk"}, "model.embed_tokens.weight on cpu and lm_head.weight on disk"),
    ],
)
def test_a_device_map_that_cannot_be_is_one_line(tiny_folder, device_map, message):
    with pytest.raises(ModelError) as caught:
        load_model(str(tiny_folder), device_map=device_map)
    assert message in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_max_memory_of_a_device_that_is_not_here_is_named(tiny_folder):
    with pytest.raises(ModelError, match=r"model.max_memory: device 'cuda:5' is not available"):
        load_model(str(tiny_folder), device_map="auto", max_memory={5: "1GiB"})


def test_max_memory_sends_what_is_too_much_to_disk(tiny_folder):
    model = load_model(str(tiny_folder), dtype="float32", device_map="auto", max_memory={"cpu": "90KB"})
    assert "disk" in model.module.hf_device_map.values()
    whole = load_model(str(tiny_folder), dtype="float32", device="cpu")
    ids = torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        torch.testing.assert_close(model.module(ids).logits, whole.module(ids).logits)


def test_a_device_and_a_device_map_exclude_each_other(tiny_folder):
    with pytest.raises(ConfigError, match=r"model.device cpu and model.device_map"):
        load_model(str(tiny_folder), device="cpu", device_map="auto")


def test_adapters_and_random_weights_need_every_layer_in_memory(tiny_folder, tmp_path):
    adapter = save_adapter(tmp_path / "adapter", tiny_folder)
    with pytest.raises(ModelError, match=r"adapter .*: layers of .* are on cpu and disk by model.device_map"):
        load_model(str(tiny_folder), device_map=HALF_ON_DISK, adapter=str(adapter))
    spread = load_model(str(tiny_folder), device_map=HALF_ON_DISK)
    with pytest.raises(ModelError, match="layers on disk") as caught:
        randomly_initialised(spread, 0)
    assert "probe.random_weights=false" in caught.value.hint


@pytest.mark.parametrize("kind", ["4bit", "8bit"])
def test_quantisation_says_what_is_missing(kind, monkeypatch, tiny_folder):
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=f"model.quantise {kind} needs bitsandbytes"):
        load_model(str(tiny_folder), quantise=kind)
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=f"model.quantise {kind} needs a GPU") as caught:
        load_model(str(tiny_folder), quantise=kind)
    assert "model.quantise null" in caught.value.hint


def test_quantisation_on_a_gpu_is_bitsandbytes(monkeypatch):
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    four, eight = (
        placement.quantisation(kind, torch.bfloat16)["quantization_config"].to_dict() for kind in ("4bit", "8bit")
    )
    assert (four["load_in_4bit"], four["bnb_4bit_quant_type"]) == (True, "nf4")
    assert (eight["load_in_8bit"], eight["load_in_4bit"]) == (True, False)
    assert placement.quantisation(None, torch.bfloat16) == {}


def test_flash_attention_says_what_is_missing(monkeypatch, tiny_folder):
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="needs flash-attn"):
        load_model(str(tiny_folder), attention="flash_attention_2")
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ModelError, match="needs a GPU and 16 bits, this is float32 on cpu"):
        load_model(str(tiny_folder), attention="flash_attention_2", dtype="float32", device="cpu")


def test_attention_is_transformers_choice_unless_it_is_named(tiny_folder):
    assert load_model(str(tiny_folder)).module.config._attn_implementation == "sdpa"
    assert load_model(str(tiny_folder), attention="eager").module.config._attn_implementation == "eager"


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(tiny_folder, monkeypatch, caplog):
    monkeypatch.setattr(placement, "available", lambda device: 1000)
    monkeypatch.setattr(placement, "available_ram", lambda: 1000)
    message = r"its weights need 0.0 GiB in float32, this machine has 0.0 GiB free"
    with pytest.raises(ModelError, match=message) as caught:
        load_model(str(tiny_folder), dtype="float32", device="cpu")
    assert caught.value.hint == "--dtype bfloat16, --quantise 4bit, or --device-map auto"
    with pytest.raises(ModelError, match=r"cpu has 0.0 GiB free"):
        load_model(str(tiny_folder), dtype="float32", device_map=HALF_ON_DISK)
    load_model(str(tiny_folder), dtype="float32", device_map={"": "disk"})
    assert "some layers stay on disk" not in caplog.text
    load_model(str(tiny_folder), dtype="float32", device_map="auto")
    assert "some layers stay on disk" in caplog.text


def test_each_gpu_of_a_map_has_memory_of_its_own(monkeypatch):
    monkeypatch.setattr(placement, "available", lambda device: 100 if device.index else 10)
    sizes = {"model.a.weight": 50.0, "model.b.weight": 5.0}
    device = torch.device("cpu")
    placement.check_memory("m", sizes, device, {"model.a": 1, "model.b": "cuda:0"}, "float32")
    with pytest.raises(ModelError, match=r"0 has 0.0 GiB free"):
        placement.check_memory("m", sizes, device, {"model.a": 0, "model.b": 1}, "float32")


def test_inputs_go_where_the_embedding_computes():
    hook = SimpleNamespace(execution_device="meta")
    embedding = SimpleNamespace(_hf_hook=hook, weight=torch.zeros(1))
    module = SimpleNamespace(get_input_embeddings=lambda: embedding)
    assert placement.input_device(module) == torch.device("cpu")
    hook.execution_device = None
    assert placement.input_device(module) == torch.device("cpu")


def test_a_device_map_decides_where_the_whole_model_is(tiny_folder, monkeypatch):
    """ "meta" stands for the GPU that --device auto would take."""
    monkeypatch.setattr(load, "device_named", lambda name: torch.device("meta" if name == "auto" else name))
    model = load_model(str(tiny_folder), dtype="float32", device_map={"": "cpu"})
    assert {model.device.type, *(weights.device.type for weights in model.module.parameters())} == {"cpu"}
