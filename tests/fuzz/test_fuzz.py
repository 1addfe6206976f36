"""Damaged input files end in success or in one message with exit code 2, 3 or 4, with nothing half-written.

`make fuzz` runs hundreds of them; here are a few of each kind, drawn by Hypothesis, and every one that ever failed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import damaged
from tests.fuzz.running import faults, files_of, run_command
from tests.fuzz.targets import TARGETS

KEPT = Path(__file__).parent / "kept"
KEPT_FILES = sorted(path for path in KEPT.glob("*/*") if path.is_file())


@pytest.fixture(scope="module")
def good_inputs(tmp_path_factory):
    """The good input of a target, made once."""
    made = {}

    def good_input(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("good")
            TARGETS[name].make(made[name])
        return made[name]

    return good_input


def end_of(name, good, folder, data):
    """What is wrong with how the target's command ends on `data` in place of its file."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    (folder / TARGETS[name].file).write_bytes(data)
    before = files_of(folder)
    ending = run_command(TARGETS[name].command.split(), folder)
    return faults(ending, folder, before, TARGETS[name].made), ending.output


@pytest.mark.parametrize("path", KEPT_FILES, ids=[path.relative_to(KEPT).as_posix() for path in KEPT_FILES])
def test_inputs_that_once_failed_do_not_fail_again(path, good_inputs, tmp_path):
    name = path.parent.name.replace("-", " ")
    problems, output = end_of(name, good_inputs(name), tmp_path / "input", path.read_bytes())
    assert not problems, output


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_is_one_message(name, good_inputs, tmp_path_factory):
    good, folder = good_inputs(name), tmp_path_factory.mktemp("damaged") / "input"
    path = good / TARGETS[name].file

    @given(st.randoms(use_true_random=False))
    @settings(max_examples=3, derandomize=True)  # `make fuzz` draws anew
    def run(rng):
        problems, output = end_of(name, good, folder, damaged(path.read_bytes(), path.suffix, rng))
        assert not problems, output

    run()
