from __future__ import annotations

import errno
import multiprocessing
import os
import time
from types import SimpleNamespace

import pytest
import torch
import transformers

from spillover.core.errors import MissingExtra, ModelError, RunError
from spillover.models import gguf as gguf_models
from spillover.models.gguf import check_room, convert_once, gguf_folder
from spillover.models.load import load_model
from tests.models.builders import GGUF_TENSORS, write_gguf


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def left(cache):
    """What is in the cache, but for locks."""
    return [file.name for file in cache.glob("*") if not file.name.endswith(".lock")]


def test_the_model_is_what_transformers_reads_and_progress_is_reported(tmp_path):
    path = write_gguf(tmp_path / "model.gguf")
    reports = []
    model = load_model(str(path), dtype="float32", progress=lambda *report: reports.append(report))
    direct = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    ids = torch.tensor([[1, 3, 4, 5]])
    with torch.inference_mode():
        assert torch.equal(model.module(ids).logits, direct(ids).logits)
    assert reports[0] == ("convert model.gguf", 0, 1)
    assert reports[-1] == ("convert model.gguf", len(GGUF_TENSORS), len(GGUF_TENSORS))


def test_nothing_is_printed(tmp_path, capfd):
    gguf_folder(write_gguf(tmp_path / "model.gguf"))
    assert capfd.readouterr() == ("", "")


def test_an_unknown_architecture_is_named_with_those_that_can_be_read(tmp_path, cache):
    path = write_gguf(tmp_path / "model.gguf", "rwkv99")
    with pytest.raises(ModelError, match="architecture rwkv99 is not supported") as caught:
        load_model(str(path))
    assert "llama" in caught.value.hint
    assert "gemma3" in caught.value.hint
    assert not left(cache)


@pytest.mark.parametrize("share", [0.0001, 0.002, 0.01, 0.05, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_one_message_wherever_it_was_cut(share, tmp_path, cache):
    path = write_gguf(tmp_path / "model.gguf")
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(len(data) * share))])
    with pytest.raises(ModelError, match=r"model.gguf' cannot be read: truncated, damaged") as caught:
        load_model(str(path))
    assert "\n" not in str(caught.value)
    assert "download or copy it again" in caught.value.hint
    assert not left(cache)


@pytest.mark.parametrize(
    ("data", "reason", "cure"),
    [
        (b"", "it is empty", "download"),
        (b"GG", "begins with b'GG'", "download"),
        (b"PK\x03\x04 a zip file", r"begins with b'PK\\x03\\x04'", "download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS", "git lfs pull"),
    ],
)
def test_a_file_that_is_no_gguf_file_is_refused(data, reason, cure, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(str(path))
    assert cure in caught.value.hint


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ModelError, match=r"'no.gguf' cannot be loaded: no such file or folder"):
        load_model("no.gguf")


def test_one_of_several_parts_says_how_to_join_them(tmp_path):
    path = write_gguf(tmp_path / "big-00002-of-00003.gguf")
    with pytest.raises(ModelError, match="it is part 2 of 3") as caught:
        load_model(str(path))
    assert caught.value.hint == "join them: llama-gguf-split --merge FIRST_PART big.gguf"


def test_a_folder_of_gguf_files_says_which_to_name(tmp_path):
    path = write_gguf(tmp_path / "model.gguf")
    with pytest.raises(ModelError, match="a folder of GGUF files") as caught:
        load_model(str(tmp_path))
    assert caught.value.hint == f"--model {path}"


def test_what_is_converted_already_is_not_converted_again(tmp_path):
    folder = tmp_path / "cache" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert convert_once(tmp_path / "missing.gguf", folder, "model") == folder


def test_without_the_gguf_package_it_says_what_to_install(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "model.gguf")
    monkeypatch.setattr(gguf_models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="needs gguf") as caught:
        load_model(str(path))
    assert "spillover[demo]" in caught.value.hint


def test_no_space_is_found_before_anything_is_read(tmp_path, cache, monkeypatch):
    path = write_gguf(tmp_path / "model.gguf")
    monkeypatch.setattr(gguf_models.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(
        ModelError, match=r"conversion to float32 needs 0.0 GiB in .*, which has 0.0 GiB free"
    ) as caught:
        load_model(str(path))
    assert "SPILLOVER_CACHE" in caught.value.hint
    assert not left(cache)
    with pytest.raises(ModelError, match=r"model x needs 3.0 GiB"):
        check_room(3 * 2**30, "model x")


def test_a_disk_that_fills_meanwhile_is_one_message(tmp_path, cache, monkeypatch):
    path = write_gguf(tmp_path / "model.gguf")

    def save(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(transformers.LlamaForCausalLM, "save_pretrained", save)
    with pytest.raises(RunError, match=r"cannot be written \(No space left on device") as caught:
        load_model(str(path))
    assert "free disk space" in caught.value.hint
    assert not left(cache)


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="the cache folder cannot be made"):
        load_model(str(write_gguf(tmp_path / "model.gguf")))


def convert_slowly(path, start, reports):
    """Report that a conversion begins, and the folder."""
    read = gguf_models._read

    def slow(*arguments):
        reports.put("converts")
        time.sleep(0.5)
        return read(*arguments)

    gguf_models._read = slow
    start.wait()
    reports.put(str(gguf_folder(path)))


def test_of_two_processes_one_converts_and_both_get_the_model(tmp_path, cache):
    path = write_gguf(tmp_path / "model.gguf")
    fork = multiprocessing.get_context("fork")  # a new process would import torch again
    start, reports, lines = fork.Barrier(2), fork.SimpleQueue(), []
    both = [fork.Process(target=convert_slowly, args=(path, start, reports)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    while not reports.empty():
        lines.append(reports.get())
    assert sorted(lines) == sorted(["converts", *[str(gguf_folder(path))] * 2])
    assert left(cache) == [gguf_folder(path).name]
