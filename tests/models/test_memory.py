from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers

from spillover.models import memory
from spillover.models.load import load_model
from spillover.models.memory import gibibytes

DOCS = Path(__file__).parents[2] / "docs" / "big-models.md"
# Shapes of Qwen2.5 7B and 14B and of Llama 3 70B: hidden, inner, layers, heads, kv heads, vocabulary, bias of q, k, v.
FAMILIES = {
    "7B": (3584, 18944, 28, 28, 4, 152064, True),
    "14B": (5120, 13824, 48, 40, 8, 152064, True),
    "70B": (8192, 28672, 80, 64, 8, 128256, False),
}


def shapes_and_config(name):
    """(shape of every tensor, config) of a model that is never made."""
    hidden, inner, layers, heads, kv_heads, vocabulary, bias = FAMILIES[name]
    shape = {
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "tie_word_embeddings": False,
    }  # fmt: skip
    config = (transformers.Qwen2Config if bias else transformers.LlamaConfig)(**shape)
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config)
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}, config


def test_sizes_are_in_gibibytes():
    assert gibibytes(16_000_000_000) == "14.9 GiB"


def test_the_headers_of_a_folder_give_what_the_loaded_model_holds(tiny_folder):
    shapes = memory.tensor_shapes(str(tiny_folder))
    for dtype in (torch.float32, torch.bfloat16):
        sizes = memory.weight_bytes(shapes, dtype, None)
        module = load_model(str(tiny_folder), dtype=str(dtype).removeprefix("torch.")).module
        assert sum(sizes.values()) == sum(tensor.nbytes for tensor in module.parameters())


def test_a_folder_without_safetensors_or_with_damaged_ones_is_unknown(tmp_path):
    assert memory.tensor_shapes(str(tmp_path)) is None
    for data in (b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b"{"):
        (tmp_path / "model.safetensors").write_bytes(data)
        assert memory.tensor_shapes(str(tmp_path)) is None


def test_the_hub_is_asked_for_metadata_alone(monkeypatch):
    tensors = {"a.weight": SimpleNamespace(shape=[3, 4]), "b.bias": SimpleNamespace(shape=[5])}
    asked = []

    def metadata(name, *, revision):
        asked.append((name, revision))
        return SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors=tensors)})

    monkeypatch.setattr(memory.huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(memory.huggingface_hub, "get_safetensors_metadata", metadata)
    assert memory.tensor_shapes("someone/model", "v1") == {"a.weight": (3, 4), "b.bias": (5,)}
    assert asked == [("someone/model", "v1")]
    monkeypatch.setattr(memory.huggingface_hub, "get_safetensors_metadata", lambda *_, **__: 1 / 0)
    assert memory.tensor_shapes("someone/model") is None
    monkeypatch.setattr(memory.huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert memory.tensor_shapes("someone/model") is None


def test_only_linear_layers_are_quantised():
    shapes = {"model.embed_tokens.weight": (10, 10), "model.norm.weight": (10,), "model.up.weight": (10, 10)}
    sizes = memory.weight_bytes(shapes, torch.bfloat16, "4bit")
    assert sizes == {"model.embed_tokens.weight": 200, "model.norm.weight": 20, "model.up.weight": pytest.approx(51.6)}


def test_a_tensor_belongs_to_the_longest_name_it_begins_with():
    sizes = {"model.layers.1.w": 1, "model.layers.10.w": 2, "model.norm.w": 4, "lm_head.w": 8}
    device_map = {"model": 0, "model.layers.1": "cpu", "model.layers.10": "disk"}
    assert memory.by_device(sizes, device_map) == {"cpu": 1, "disk": 2, "0": 4}
    assert memory.by_device(sizes, {"": "cpu"}) == {"cpu": 15}


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    limit, usage, statistics = (tmp_path / name for name in ("limit", "usage", "statistics"))
    usage.write_text("700")
    statistics.write_text("anon 500\ninactive_file 200\n")
    monkeypatch.setattr(memory, "CGROUPS", ((str(limit), str(usage), str(statistics)),))
    whole = memory.available_ram()
    assert whole > 1 << 20
    limit.write_text("max")
    assert memory.available_ram() > 1 << 20
    limit.write_text("1000")
    assert memory.available_ram() == 500


def test_the_prefix_estimate_is_what_the_engine_keeps(tiny_folder):
    model = load_model(str(tiny_folder), dtype="float32")
    output = model.module(torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in output.layers)
    assert 3 * memory.prefix_bytes(model.module.config, 4) == kept


def test_the_arithmetic_of_the_page_is_that_of_the_code():
    page = DOCS.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+B) \| (.*) \|$", page, flags=re.MULTILINE))
    for name in FAMILIES:
        shapes, config = shapes_and_config(name)
        weights = [
            sum(memory.weight_bytes(shapes, torch.bfloat16, kind).values()) / 2**30 for kind in (None, "8bit", "4bit")
        ]
        prefix = 2000 * memory.prefix_bytes(config, 2) / 2**30
        activations = memory.activation_bytes(config, 4096, 2) / 2**30
        expected = " | ".join(f"{number:.1f}" for number in (*weights, prefix, activations))
        assert rows[name] == expected
