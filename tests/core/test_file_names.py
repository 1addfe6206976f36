"""A name that would leave its folder, or that a file system cannot store, is refused in one line."""

from __future__ import annotations

import shutil

import pytest

from spillover.cli import main
from spillover.core.config import load_config
from spillover.core.errors import ConfigError, DataError
from spillover.core.file_names import check_file_name
from spillover.core.files import resources, write_yaml
from spillover.core.languages import language
from spillover.tasks.importers.hub import read_source
from spillover.tasks.wording import load_task

HOSTILE = [
    "../../x", "a/b", "a\\b", "C:x", "..", ".", ".hidden", "a.", "a ", " ", "", "a\x00b", "a\nb", "a\x1bb", "a\u202eb",
    "con", "NUL.txt", "com1", "x" * 101, "中" * 40, 'a"b', "a?b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_in_one_line(name):
    with pytest.raises(ConfigError, match=r"^here: ") as caught:
        check_file_name(name, "here")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name", ["base", "tuned-2", "r16_lr1e-4", "1.5b", "感情", "zh-Hans", "a b", "x" * 100, "console"]
)
def test_a_usual_name_is_kept(name):
    assert check_file_name(name, "here") == name


@pytest.mark.parametrize("verb", ["evaluate", "probe"])
def test_a_name_of_an_evaluation_stays_in_the_run_folder(verb, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--out", str(tmp_path / "run"), "--name", "../../x", "--model", "absent"])
    assert ended.value.code == 2
    assert "--name: '../../x' has '/'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_name_of_a_task_stays_in_the_data_folder(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(resources() / "tasks" / "sentiment", folder)
    path = folder / "task.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("name: sentiment", "name: ../../x"), encoding="utf-8")
    with pytest.raises(DataError, match=r"task\.yaml: name: '\.\./\.\./x' has '/'"):
        load_task(str(folder))


@pytest.mark.parametrize(
    "change", [{"task": "../../x"}, {"splits": {"../../x": "test"}}, {"splits": {"a\x00": "test"}}]
)
def test_what_an_import_writes_stays_in_its_folder(change, tmp_path):
    row = {"task": "t", "splits": {"test": "test"}, "fields": {"f": "f"}, "label": "l", "labels": {0: "a"}}
    write_yaml(tmp_path / "mine.yaml", row | {"files": {"en": {"test": "x.csv"}}} | change)
    with pytest.raises(ConfigError, match=r"mine\.yaml: name, task and splits"):
        read_source(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("code", ["../../x", "en/../x", "e\x00n", "con", "aux", "en-x-" + "-".join(["abcdefgh"] * 30)])
def test_a_language_code_that_is_no_file_name_is_refused(code):
    with pytest.raises(ConfigError, match=r"^language ") as caught:
        language(code)
    assert caught.value.hint


def test_a_language_that_is_called_as_a_device_is_named_with_its_script():
    assert language("con-Latn").name.startswith("Cof")


@pytest.mark.parametrize("name", ["con", "a/b", "x" * 101])
def test_the_name_of_a_run_is_a_file_name(name):
    with pytest.raises(ConfigError, match="name"):
        load_config(name=name)
