from __future__ import annotations

import json

from spillover.models.fingerprint import hash_adapter, hash_weights
from tests.builders import save_adapter, save_model


def test_other_weights_have_another_hash(tmp_path):
    first, second = (hash_weights(save_model(tmp_path / str(seed), seed)) for seed in (0, 1))
    assert first != second


def test_an_adapter_of_another_scale_has_another_hash(tmp_path):
    folder = save_adapter(tmp_path / "adapter", save_model(tmp_path / "base"))
    before = hash_adapter(folder)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"target_modules": config["target_modules"][::-1], "peft_version": "9"}))
    assert hash_adapter(folder) == before
    path.write_text(json.dumps(config | {"lora_alpha": 99}))
    assert hash_adapter(folder) != before
