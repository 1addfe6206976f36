from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from spillover.core.types import Prompt, no_progress


def test_a_prompt_reads_its_shots_before_its_item():
    assert Prompt("i", "en", "shots. ", "item", ("a", "b")).text == "shots. item"


def test_nouns_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Prompt("i", "en", "", "", ()).body = "other"


def test_no_progress_draws_nothing(capsys):
    no_progress("work", 1, 2)
    assert capsys.readouterr() == ("", "")
