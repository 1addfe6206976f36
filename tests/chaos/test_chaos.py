"""A run that is killed, or that a signal, a full disk, a second process or the clock befalls, ends as an undisturbed one.

`make chaos` does it a hundred times at random moments; here is one of each, at fixed ones.
"""

from __future__ import annotations

import random
import signal

import pytest

from tests.chaos.running import (
    TRAININGS,
    Trouble,
    contents,
    differences,
    half_written,
    jump_file_times,
    start,
    write_input,
)

BUILD = ["build", "--data", "data", "--source", "de", "--out", "run"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chaos")
    write_input(folder)
    return folder


@pytest.fixture
def inputs(place, tmp_path):
    """A folder of this test's own, with the data in it."""
    (tmp_path / "data").symlink_to(place / "data")
    (tmp_path / "model").symlink_to(place / "model")
    for name in TRAININGS:
        (tmp_path / f"{name}.yaml").symlink_to(place / f"{name}.yaml")
    return tmp_path


def finished(arguments, folder):
    process = start(arguments, folder)
    assert process.wait() == 0, process.text
    return contents(folder / "run")


def paused(folder):
    """A process that holds the run folder and does nothing more."""
    process = start(BUILD, folder, Trouble(pause_at_change=3))
    assert process.wait(paused=True) is None, process.text
    return process


def killed_and_resumed(change, inputs, wanted):
    """Whether it was killed in front of this change; the resumed run is as one that was not."""
    (inputs / "run").rename(inputs / f"run-{change}")
    process = start(BUILD, inputs, Trouble(at_change=change))
    assert process.wait() in (0, -signal.SIGKILL), process.text
    assert not differences(finished(BUILD, inputs), wanted)
    return bool(process.code)


def test_killed_in_front_of_a_change_of_a_file_it_resumes(inputs):
    wanted = finished(BUILD, inputs)
    assert all(killed_and_resumed(change, inputs, wanted) for change in (2, 5, 9))


@pytest.mark.slow
def test_killed_in_front_of_each_change_of_a_file_it_resumes(inputs):
    wanted = finished(BUILD, inputs)
    changes = next(change for change in range(1, 100) if not killed_and_resumed(change, inputs, wanted))
    assert changes > 9


def test_a_second_process_is_refused_and_takes_over_when_the_first_is_dead(inputs):
    first = paused(inputs)
    second = start(BUILD, inputs)
    assert second.wait() == 3
    assert f"error: run: in use by process {first.pid} on " in second.text
    assert "spillover build --data data" in second.text
    assert first.send(signal.SIGKILL) == -signal.SIGKILL
    finished(BUILD, inputs)
    assert not half_written(inputs / "run")


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_it_with_one_line_and_nothing_half_written(inputs, number, code, said):
    process = paused(inputs)
    assert process.send(number) == code, process.text
    assert process.text.strip().splitlines()[-1] == f"{said}; rerun the same command to resume"
    assert not half_written(inputs)
    finished(BUILD, inputs)


@pytest.mark.parametrize("size", [0, 700])
def test_a_full_disk_is_one_message_and_it_resumes(inputs, size):
    process = start(BUILD, inputs, Trouble(file_bytes=size))
    assert process.wait() == 3, process.text
    assert process.text.count("error: ") == 1
    assert "File too large" in process.text
    assert "Traceback" not in process.text
    assert not half_written(inputs)
    finished(BUILD, inputs)


def test_a_read_only_folder_is_one_message(inputs):
    finished(BUILD, inputs)
    before = contents(inputs / "run")
    (inputs / "run").chmod(0o555)
    (inputs / "run" / "build").chmod(0o555)
    (inputs / "run" / "build" / "pairs.jsonl").unlink()
    process = start(BUILD, inputs, Trouble(unprivileged=True))
    assert process.wait() == 3, process.text
    assert "error: run/" in process.text
    assert "cannot be written (Permission denied)" in process.text
    (inputs / "run").chmod(0o755)
    (inputs / "run" / "build").chmod(0o755)
    assert not differences(finished(BUILD, inputs), before)


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
def test_a_whole_run_that_is_killed_with_a_jumping_clock_ends_as_one_that_is_not(inputs, training):
    command = ["run", f"{training}.yaml", "--out", "run"]
    wanted = finished(command, inputs)
    (inputs / "run").rename(inputs / "whole")
    rng = random.Random(training)
    for _ in range(8):
        start(command, inputs, Trouble(at_change=rng.randint(1, 120), clock=rng.randint(0, 1000))).wait()
        jump_file_times(inputs / "run", rng)
    assert not differences(finished(command, inputs), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
def test_a_whole_run_on_ever_larger_disks_ends_as_on_a_large_one(inputs, training):
    command = ["run", f"{training}.yaml", "--out", "run"]
    wanted = finished(command, inputs)
    (inputs / "run").rename(inputs / "whole")
    for size in (500, 3_000, 6_000, 12_000, 25_000):
        process = start(command, inputs, Trouble(file_bytes=size))
        assert process.wait() == 3, process.text
        assert process.text.count("error: ") == 1, process.text
        assert not half_written(inputs / "run")
    assert not differences(finished(command, inputs), wanted)
