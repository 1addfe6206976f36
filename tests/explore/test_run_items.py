"""A run's flipped items are asked as the run asked them; what does not fit has one line with the cure."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from spillover.core.errors import RunError
from spillover.explore.results import CHANGES
from spillover.explore.run_items import open_run_items, opening_of_run, question_of_item
from spillover.explore.session import open_session, session_of
from spillover.stages.evaluate.score_tables import read_evaluation
from tests.builders import make_model


@pytest.fixture(scope="module")
def of_run(workplace):
    return open_session(str(workplace / "model"), adapter=str(workplace / "adapter"), dtype="float32")


@pytest.fixture
def copied(workplace, tmp_path):
    return shutil.copytree(workplace / "run", tmp_path / "run")


def test_the_answers_of_an_item_are_those_of_the_run(workplace, of_run):
    path = workplace / "run"
    opened = open_run_items(str(path), of_run)
    assert opened.after == "tuned"
    assert opened.items
    for item in opened.items[:4]:
        answers = list(of_run.answers(question_of_item(opened, item)))
        for answer, said in zip(answers, (item.before, item.after), strict=True):
            scores = read_evaluation(path / "evaluate" / answer.model / "sentiment").scores[item.language]
            expected = scores.logprobs[scores.example_ids.index(item.id)]
            np.testing.assert_allclose(answer.logprobs, expected, atol=1e-3)
            assert answer.labels[int(answer.logprobs.argmax())] == said
        assert (item.after == item.gold) == item.newly_correct
    wrong = opened.flips(opened.items[0].language, "newly wrong").items
    assert all(not item.newly_correct and item.language == opened.items[0].language for item in wrong)
    assert (
        len(opened.flips().items) == len(opened.items) == sum(len(opened.flips(change=name).items) for name in CHANGES)
    )


def test_the_models_of_a_run_are_found(workplace, tmp_path):
    found, task = opening_of_run(str(workplace / "run"))
    assert (task, found["data"]) == ("sentiment", str(workplace / "data"))
    assert found["name"] == str(workplace / "model")
    assert found["adapter"] == str(workplace / "adapter")
    with pytest.raises(RunError, match="not a run folder"):
        opening_of_run(str(tmp_path))


def test_what_is_no_finished_run_of_these_models_is_refused(of_run, copied, tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        open_run_items(str(tmp_path / "nothing"), of_run)
    with pytest.raises(RunError, match="is not of tiny") as error:
        open_run_items(str(copied), session_of({"base": make_model(seed=5)}))
    assert "--model" in error.value.hint
    manifest = json.loads((copied / "run.json").read_text(encoding="utf-8"))
    manifest["stages"]["evaluate/tuned/sentiment"]["state"] = "started"
    (copied / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match="unfinished"):
        open_run_items(str(copied), of_run)
    shutil.rmtree(copied / "evaluate" / "tuned")
    del manifest["stages"]["evaluate/tuned/sentiment"]
    (copied / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match="another model on the same task"):
        open_run_items(str(copied), of_run)
    assert "adapter" not in opening_of_run(str(copied))[0]


def test_data_that_has_changed_is_refused(workplace, of_run, tmp_path):
    opened = open_run_items(str(workplace / "run"), of_run)
    item = opened.items[0]
    path = workplace / "data" / "sentiment" / "test" / f"{item.language}.jsonl"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("review 1", "review one"), encoding="utf-8")
    try:
        with pytest.raises(RunError, match="has changed"):
            question_of_item(opened, item)
    finally:
        path.write_text(before, encoding="utf-8")


def test_a_chat_form_that_the_page_does_not_ask_in_is_refused(of_run, copied):
    manifest = json.loads((copied / "run.json").read_text(encoding="utf-8"))
    manifest["stages"]["evaluate/base/sentiment"]["settings"]["chat"] = "turns"
    (copied / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match="--chat turns"):
        open_run_items(str(copied), of_run)
