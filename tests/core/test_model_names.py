from __future__ import annotations

import pytest

from spillover.core.errors import RunError
from spillover.core.files import write_json
from spillover.core.model_names import base_name, name_in_run, public_name


def test_a_published_name_holds_no_path_of_this_machine(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert public_name(str(folder)) == "my-model"
    assert public_name("/gone/my-model") == "my-model"
    assert public_name("someone/model") == "someone/model"


@pytest.mark.parametrize("note", ["spillover.json", "merge.json"])
def test_the_base_is_read_from_the_note_beside_the_weights(note, tmp_path):
    with pytest.raises(RunError, match="its base is unknown"):
        base_name(tmp_path)
    write_json(tmp_path / note, {"base": {"name": "someone/base"}})
    assert base_name(tmp_path) == "someone/base"


def test_a_model_is_named_after_what_was_done_to_it():
    assert name_in_run(None, None) == "base"
    assert name_in_run("train/adapter", None) == "tuned"
    assert name_in_run("train/adapter", "run/steer/mean-shift") == "mean-shift"
