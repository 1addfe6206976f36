from __future__ import annotations

import gguf
import numpy as np
import pytest

from spillover.core.errors import ModelError
from spillover.models.gguf import convert_once
from spillover.models.load import load_model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_gguf(path, architecture):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_unknown_architecture_is_named_with_those_that_can_be_read(tmp_path, cache):
    path = write_gguf(tmp_path / "model.gguf", "rwkv99")
    with pytest.raises(ModelError, match="architecture rwkv99 is not supported") as caught:
        load_model(str(path))
    assert "llama" in caught.value.hint
    assert "gemma3" in caught.value.hint
    assert not [file for file in cache.iterdir() if not file.name.endswith(".lock")]


@pytest.mark.parametrize("length", [0, 3, 40])
def test_a_truncated_file_is_one_message(length, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", "llama")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"model.gguf' cannot be read"):
        load_model(str(path))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ModelError, match=r"'no.gguf' cannot be loaded: no such file or folder"):
        load_model("no.gguf")


def test_what_is_converted_already_is_not_converted_again(tmp_path):
    folder = tmp_path / "cache" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert convert_once(tmp_path / "missing.gguf", folder, "model") == folder
