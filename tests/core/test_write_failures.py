"""A disk that is full is one line with the path, whichever library was writing."""

from __future__ import annotations

import errno
import os
import resource
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from spillover.core.errors import DataError, RunError
from spillover.core.files import append_line, atomic, atomic_folder, write_json
from spillover.core.write_failures import write_failure, writing

LIMIT = 4096
NUMBERS = np.random.default_rng(0).random(10_000)


@pytest.fixture
def small_disk():
    """No file can grow beyond 4 KB."""
    handler, before = signal.getsignal(signal.SIGXFSZ), resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


WRITERS = {
    "text": lambda path: path.write_text("x" * 10_000),
    "parquet": lambda path: pd.DataFrame({"x": NUMBERS}).to_parquet(path),
    "safetensors": lambda path: save_file({"x": NUMBERS}, path),
    "torch": lambda path: torch.save(torch.from_numpy(NUMBERS), path),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_one_line_and_nothing_half_written(write, tmp_path, small_disk):
    path = tmp_path / "table"
    path.write_text("finished before")
    with pytest.raises(RunError, match=r"table: cannot be written \(\w[\w ]+\)") as caught, atomic(path) as partial:
        write(partial)
    assert "rerun the same command" in caught.value.hint
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"table": "finished before"}


def test_a_folder_on_a_full_disk_is_not_written(tmp_path, small_disk):
    with pytest.raises(RunError, match="adapter: cannot be written"), atomic_folder(tmp_path / "adapter") as partial:
        (partial / "weights").write_bytes(b"x" * 10_000)
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_appended_whole_or_not_at_all(tmp_path, small_disk):
    path = tmp_path / "log.jsonl"
    append_line(path, "x" * 4000)
    with pytest.raises(RunError, match=r"log.jsonl: cannot be written \(File too large\)"):
        append_line(path, "y" * 200)
    assert path.read_text() == "x" * 4000 + "\n"


def test_a_read_only_folder_is_one_line(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / "a.json.1.partial"))

    monkeypatch.setattr(type(tmp_path), "write_text", refused)
    with pytest.raises(RunError, match=r"a\.json: cannot be written \(Read-only file system\)") as caught:
        write_json(tmp_path / "a.json", {})
    assert "allow writing" in caught.value.hint


def test_other_errors_stay_as_they_are(tmp_path):
    assert write_failure(ValueError("x")) is None
    assert write_failure(FileNotFoundError(errno.ENOENT, "no such file")) is None
    with pytest.raises(DataError, match="mine"), writing(tmp_path):
        raise DataError("mine")
    with pytest.raises(RuntimeError, match="cuda"), writing(tmp_path):
        raise RuntimeError("cuda")


def test_where_nobody_knows_whether_it_was_written_it_says_what_the_system_says():
    failure = write_failure(PermissionError(errno.EACCES, "x", "data/items.csv"))
    assert failure
    assert failure.message == "data/items.csv: Permission denied"
