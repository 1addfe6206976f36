"""A lock is held by one process, says by whom, and ends with its process."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from spillover.core import locks
from spillover.core.errors import RunError
from spillover.core.locks import is_locked, locked


@pytest.fixture
def held_elsewhere(tmp_path):
    """The pid of a process that holds tmp_path/run/lock until it is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        with locked(tmp_path / "run" / "lock"):
            os.write(writing, b"x")
            signal.pause()
    os.read(reading, 1)
    yield pid
    os.close(reading)
    os.close(writing)
    kill(pid)


def kill(pid):
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # raises where it is gone
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_second_process_is_refused_and_told_who_holds_it(held_elsewhere, tmp_path):
    wanted = rf"run: in use by process {held_elsewhere} on \S+ since 20\S+: .*"
    with pytest.raises(RunError, match=wanted) as caught, locked(tmp_path / "run" / "lock"):
        pass
    assert caught.value.exit_code == 3
    assert (tmp_path / "run" / "lock").exists()


def test_the_lock_of_a_dead_process_is_taken_over_and_removed_at_the_end(held_elsewhere, tmp_path):
    kill(held_elsewhere)
    assert (tmp_path / "run" / "lock").exists()
    with locked(tmp_path / "run" / "lock") as outermost:
        assert outermost
        assert str(os.getpid()) in (tmp_path / "run" / "lock").read_text()
    assert list((tmp_path / "run").iterdir()) == []


def test_whether_another_process_holds_it(held_elsewhere, tmp_path):
    path = tmp_path / "run" / "lock"
    assert is_locked(path)
    kill(held_elsewhere)
    assert not is_locked(path), "the file of a dead process is there, and nobody holds it"
    with locked(path):
        assert not is_locked(path), "it is held here"
    assert not is_locked(path)


def test_a_process_that_waits_gets_it_when_the_other_ends(held_elsewhere, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(locks.log, "info", lambda *arguments: (said.append(arguments), kill(held_elsewhere)))
    with locked(tmp_path / "run" / "lock", wait=True) as outermost:
        assert outermost
    assert f"process {held_elsewhere}" in said[0][2]


def test_a_process_enters_its_own_lock_again(tmp_path):
    with locked(tmp_path / "lock") as first:
        with locked(tmp_path / "lock") as second:
            assert (first, second) == (True, False)
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_a_folder_that_was_made_for_the_lock_alone_goes_with_it(tmp_path):
    with locked(tmp_path / "runs" / "new" / "lock"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "new" / "lock"):
        (tmp_path / "runs" / "new" / "table").write_text("x")
    assert (tmp_path / "runs" / "new" / "table").exists()


def test_a_lock_that_was_removed_by_its_holder_is_taken_anew(tmp_path, monkeypatch):
    """Opened before the holder removed it, locked after: the file is no longer the one at the path."""
    flock, calls = locks._flock, []

    def removed_meanwhile(descriptor, what, *, wait):
        flock(descriptor, what, wait=wait)
        calls.append(descriptor)
        if len(calls) == 1:
            (tmp_path / "lock").unlink()

    monkeypatch.setattr(locks, "_flock", removed_meanwhile)
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()
    assert len(calls) == 2


def test_where_nothing_can_be_written_there_is_no_lock(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(locks.os, "open", refused)
    with locked(tmp_path / "lock") as outermost:
        assert outermost


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def unsupported(*_):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    with locked(tmp_path / "lock"):
        pass
    assert "this file system has no locks" in caplog.text
