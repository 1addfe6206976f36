from __future__ import annotations

import json

import peft
import pytest

from spillover.core.errors import ModelError
from spillover.core.types import ModelRef
from spillover.models.adapter_base import BASE_FILE, check_base
from spillover.models.fingerprint import hash_weights
from spillover.models.load import load_model
from spillover.models.registry import packaged_models
from tests.builders import make_tokenizer, save_adapter, save_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    base, other = save_model(root / "base"), save_model(root / "other", seed=1)
    return base, other, save_adapter(root / "adapter", base)


def changed(adapter, tmp_path, **values):
    """A copy of the adapter with other values in its config."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in adapter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((adapter / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | values))
    return folder


def check(adapter, name, fingerprint="f", revision=None):
    ref, config = ModelRef(name, revision, None, fingerprint), peft.PeftConfig.from_pretrained(adapter)
    check_base(ref, make_tokenizer("byte-level"), str(adapter), adapter, config)


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(folders):
    base, other, adapter = folders
    load_model(str(base), dtype="float32", adapter=str(adapter))
    with pytest.raises(ModelError, match=r"made for .*base \(.*not for .*other"):
        load_model(str(other), dtype="float32", adapter=str(adapter))


def test_the_fingerprint_decides_where_the_folder_was_moved(folders, tmp_path, caplog):
    base, other, adapter = folders
    moved = changed(adapter, tmp_path, base_model_name_or_path="/no/longer/there")
    (moved / BASE_FILE).write_text(json.dumps({"base": {"name": "base", "fingerprint": hash_weights(base)}}))
    check(moved, "elsewhere", hash_weights(base))
    assert not caplog.text
    with pytest.raises(ModelError, match="made for base"):
        check(moved, "elsewhere", hash_weights(other))


def test_a_folder_that_cannot_be_found_any_more_is_a_warning(folders, tmp_path, caplog):
    base, _, adapter = folders
    check(changed(adapter, tmp_path, base_model_name_or_path="/no/longer/there"), str(base))
    assert "was made for /no/longer/there; whether" in caplog.text


def test_an_adapter_that_names_no_base_is_a_warning(folders, tmp_path, caplog):
    check(changed(folders[2], tmp_path, base_model_name_or_path=None), "someone/model")
    assert "does not say which base" in caplog.text


def test_names_and_revisions_on_the_hub_must_agree(folders, tmp_path, caplog):
    adapter = changed(folders[2], tmp_path, base_model_name_or_path="someone/model", revision="abc")
    check(adapter, "someone/model")
    check(adapter, "someone/model", revision="abc")
    with pytest.raises(ModelError, match="revision abc of someone/model"):
        check(adapter, "someone/model", revision="def")
    with pytest.raises(ModelError, match="made for someone/model, not for another/model"):
        check(adapter, "another/model")
    assert not caplog.text


def test_the_packaged_model_is_the_one_on_the_hub(folders, tmp_path):
    adapter = changed(folders[2], tmp_path, base_model_name_or_path=packaged_models()["smollm2-135m"].hub)
    check(adapter, "smollm2-135m")


def test_a_tokenizer_that_numbers_the_tokens_otherwise_is_refused(folders, tmp_path):
    base, _, adapter = folders
    folder = changed(adapter, tmp_path)
    make_tokenizer("byte-level").save_pretrained(folder)
    check(folder, str(base), hash_weights(base))
    make_tokenizer("whole-words").save_pretrained(folder)
    with pytest.raises(ModelError, match=r"tokenizer is not that of .* tokens have other ids"):
        check(folder, str(base), hash_weights(base))
