from __future__ import annotations

import json

import pytest
import torch

from spillover.core.errors import ModelError
from spillover.models.load import load_model, share_weights
from tests.builders import make_model


def test_a_folder_loads_in_evaluation_mode_with_a_fingerprint(tiny_folder):
    model = load_model(str(tiny_folder), dtype="float32")
    assert not model.module.training
    assert (model.dtype, model.device.type, model.context) == (torch.float32, "cpu", 4096)
    assert load_model(str(tiny_folder)).ref == model.ref


def test_dtype_auto_is_bfloat16_only_where_the_hardware_has_it(monkeypatch, tiny_folder, caplog):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_model(str(tiny_folder)).dtype == torch.bfloat16
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert load_model(str(tiny_folder)).dtype == torch.float32
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with caplog.at_level("INFO"):
        assert load_model(str(tiny_folder)).dtype == torch.float32
    assert "as float32 on cpu, as torch reports no bfloat16 for this processor" in caplog.text
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in torch 2.9
    assert load_model(str(tiny_folder)).dtype == torch.float32


@pytest.mark.parametrize("name", ["/nowhere/at/all", "no such model"])
def test_a_model_that_is_not_there_is_named(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(name)
    assert name in caught.value.message


def test_a_broken_config_is_named(tiny_folder):
    (tiny_folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tiny_folder))


def test_code_of_a_model_does_not_run_unless_told(tiny_folder, tmp_path):
    """A folder whose config names its own code: the code would leave a file behind."""
    config = json.loads((tiny_folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tiny_folder / "config.json").write_text(json.dumps(config))
    (tiny_folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(ModelError):
        load_model(str(tiny_folder))
    assert not (tmp_path / "ran").exists()


def test_a_device_that_is_not_here_is_named(tiny_folder):
    with pytest.raises(ModelError, match="device 'warp' is not available"):
        load_model(str(tiny_folder), device="warp")


def test_shared_weights_are_the_same_tensors_in_another_module():
    model = make_model()
    twin = share_weights(model.module)
    assert twin is not model.module
    pairs = zip(model.module.parameters(), twin.parameters(), strict=True)
    assert all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in pairs)
    twin.model.layers[0].self_attn.q_proj = torch.nn.Identity()
    assert isinstance(model.module.model.layers[0].self_attn.q_proj, torch.nn.Linear)
