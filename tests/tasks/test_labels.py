"""`é` in one code point and in two is one label: in a task's files, its data, and the paper's."""

from __future__ import annotations

import logging
import shutil
import unicodedata

import pytest

from spillover.core.files import resources, write_jsonl
from spillover.tasks.examples import read_examples
from spillover.tasks.labels import composed_label
from spillover.tasks.wording import load_task

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "réussi") for form in ("NFC", "NFD"))


@pytest.fixture
def folder(tmp_path):
    """A task whose label is composed in task.yaml, and decomposed in every wording."""
    folder = tmp_path / "mine"
    shutil.copytree(resources() / "tasks" / "sentiment", folder)
    for path in folder.glob("*.yaml"):
        label = COMPOSED if path.name == "task.yaml" else DECOMPOSED
        text = path.read_text(encoding="utf-8").replace("labels: [positive,", f"labels: [{label},")
        text = text.replace("irrelevant: {positive", f"irrelevant: {{{label}").replace(
            "shot-1: positive", f"shot-1: {label}"
        )
        path.write_text(text.replace("  positive: ", f"  {label}: "), encoding="utf-8")
    return folder


def test_a_task_and_its_data_may_differ_in_form_and_the_log_says_so_once(folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        task = load_task(str(folder))
        data = tmp_path / "en.jsonl"
        write_jsonl(
            data, ({"id": str(i), "review": "x", "label": label} for i, label in enumerate((DECOMPOSED, COMPOSED) * 2))
        )
        labels = [example.label for example in read_examples(data, task, "en")]
    assert task.labels == (COMPOSED, "negative")
    assert set(task.wordings["de"].labels) == {COMPOSED, "negative"}
    assert labels == [COMPOSED] * 4
    messages = [record.message for record in caplog.records]
    assert len(messages) == len(set(messages)) == 21
    assert any(str(data) in message for message in messages)
    assert any(str(folder / "de.yaml") in message for message in messages)


def test_a_composed_label_needs_no_message(caplog):
    with caplog.at_level(logging.WARNING):
        assert composed_label(COMPOSED, "here") == COMPOSED
    assert not caplog.records
