"""Contracts 8 and 9: the same bytes on a re-run, and a kill loses at most the batch in flight."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError, ModelError, RunError
from spillover.models.load import load_model
from spillover.models.local import LocalEngine
from spillover.stages.compare.differences import differences
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import content_free
from spillover.tasks.wording import load_task
from tests.builders import make_model, small_data
from tests.models.chat_templates import chat_model, with_template

SMALL = EvaluateConfig(batch_tokens=24)


def run_evaluate(model, data, out=None, **options):
    config = options.pop("config", SMALL)
    rules = config.model_dump(include={"missing_items", "disagreeing_labels"})
    opened = {key: options.pop(key) for key in ("languages", "limit", "seed") if key in options}
    return evaluate(
        model, open_benchmark("sentiment", data=str(data), **rules, **opened), out=out, config=config, **options
    )


def table_bytes(out):
    return {path.name: path.read_bytes() for path in sorted((out / "evaluate").rglob("*.parquet"))}


def test_tables_say_what_was_returned(tiny, tmp_path):
    data = small_data(tmp_path / "data")
    evaluation = run_evaluate(tiny, data, tmp_path / "run")
    again = read_evaluation(tmp_path / "run" / "evaluate" / "base" / "sentiment")
    assert list(again.scores) == ["en", "de", "es"]
    assert (again.key, again.model, again.label_set) == (evaluation.key, evaluation.model, "english")
    for code, scores in evaluation.scores.items():
        np.testing.assert_array_equal(scores.logprobs, again.scores[code].logprobs)
        assert scores.example_ids == again.scores[code].example_ids
        assert (scores.gold == [0, 1] * 3).all()
        assert (scores.logprobs < 0).all()
        assert scores.logprobs.dtype == np.float32


def test_with_and_without_a_folder_the_scores_are_the_same(tiny, tmp_path):
    data = small_data(tmp_path / "data")
    there, nowhere = run_evaluate(tiny, data, tmp_path / "run"), run_evaluate(tiny, data)
    for code in there.scores:
        np.testing.assert_array_equal(there.scores[code].logprobs, nowhere.scores[code].logprobs)


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_killed_and_resumed_equals_uninterrupted(tiny, tmp_path, monkeypatch, after):
    data = small_data(tmp_path / "data")
    run_evaluate(tiny, data, tmp_path / "whole")
    score, scored = LocalEngine.score, []

    def killed(self, plan, skip=frozenset()):
        for batch in score(self, plan, skip):
            if len(scored) == after:
                raise KeyboardInterrupt
            scored.append(batch.index)
            yield batch

    monkeypatch.setattr(LocalEngine, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        run_evaluate(tiny, data, tmp_path / "killed")
    before = len(scored)
    monkeypatch.setattr(LocalEngine, "score", score)
    counted = []

    def counting(self, plan, skip=frozenset()):
        for batch in score(self, plan, skip):
            counted.append(batch.index)
            yield batch

    monkeypatch.setattr(LocalEngine, "score", counting)
    run_evaluate(tiny, data, tmp_path / "killed")
    assert table_bytes(tmp_path / "killed") == table_bytes(tmp_path / "whole")
    engine = LocalEngine(tiny, batch_tokens=24)
    task, free = load_task("sentiment"), SMALL.content_free
    asked = [[*rows, *content_free(task, rows[0], free)] for rows in _prompts(data).values()]
    total = sum(len(engine.plan(rows).batches) + 1 for rows in asked)  # and the answer prompt of each language
    assert before + len(counted) == total, "no finished batch is computed again"
    assert not list((tmp_path / "killed").rglob("*.batches.jsonl"))


def _prompts(data):
    from spillover.tasks.examples import load_parallel
    from spillover.tasks.prompts import render
    from spillover.tasks.wording import load_task

    task = load_task("sentiment")
    rows = load_parallel(str(data), task, "test", ["en", "de", "es"])
    return {code: render(task, own, label_set="english") for code, own in rows.items()}


def test_a_line_cut_short_by_a_kill_is_dropped(tiny, tmp_path, monkeypatch):
    data = small_data(tmp_path / "data", ("en",))
    run_evaluate(tiny, data, tmp_path / "whole")
    score = LocalEngine.score

    def killed(self, plan, skip=frozenset()):
        for i, batch in enumerate(score(self, plan, skip)):
            if i == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(LocalEngine, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        run_evaluate(tiny, data, tmp_path / "killed")
    monkeypatch.setattr(LocalEngine, "score", score)
    batches = next((tmp_path / "killed").rglob("*.batches.jsonl"))
    batches.write_text(batches.read_text()[:-20])
    run_evaluate(tiny, data, tmp_path / "killed")
    assert table_bytes(tmp_path / "killed") == table_bytes(tmp_path / "whole")


def test_again_computes_nothing(tiny, tmp_path, monkeypatch):
    data = small_data(tmp_path / "data")
    run_evaluate(tiny, data, tmp_path / "run")
    before = table_bytes(tmp_path / "run")
    monkeypatch.setattr(LocalEngine, "score", lambda *_, **__: pytest.fail("scored again"))
    run_evaluate(tiny, data, tmp_path / "run")
    assert table_bytes(tmp_path / "run") == before


@pytest.mark.parametrize(
    "other", [{"limit": 2}, {"config": EvaluateConfig(labels="native")}, {"config": EvaluateConfig(shots="de")}]
)
def test_other_inputs_do_not_overwrite(tiny, tmp_path, other):
    data = small_data(tmp_path / "data")
    run_evaluate(tiny, data, tmp_path / "run")
    before = table_bytes(tmp_path / "run")
    with pytest.raises(RunError, match="made with other settings"):
        run_evaluate(tiny, data, tmp_path / "run", **other)
    assert table_bytes(tmp_path / "run") == before


def test_another_model_does_not_overwrite(tiny, tmp_path):
    data = small_data(tmp_path / "data")
    run_evaluate(tiny, data, tmp_path / "run")
    with pytest.raises(RunError, match="tiny-0 → tiny-5"):
        run_evaluate(make_model(seed=5), data, tmp_path / "run")


def test_changed_data_is_noticed(tiny, tmp_path):
    data = small_data(tmp_path / "data")
    run_evaluate(tiny, data, tmp_path / "run")
    path = data / "sentiment" / "test" / "de.jsonl"
    path.write_text(path.read_text().replace("review 1", "REVIEW 1"))
    with pytest.raises(RunError, match=r"data\.de"):
        run_evaluate(tiny, data, tmp_path / "run")


def test_it_says_what_it_will_compute_and_how_long(tiny, tmp_path, caplog):
    data = small_data(tmp_path / "data")
    with caplog.at_level("INFO", logger="spillover"):
        run_evaluate(tiny, data)
    assert re.search(r"sentiment: [\d,]+ tokens to compute \(prefix saves [\d,]+\), about \d+ s", caplog.text)


def test_a_budget_takes_the_same_items_everywhere_and_stays(tiny, tmp_path, monkeypatch):
    """The first evaluation of a run measures; what follows scores the same items, however fast the machine is then."""
    data = small_data(tmp_path / "data")
    config = EvaluateConfig(batch_tokens=24, budget_minutes=1)
    whole = run_evaluate(tiny, data)
    tokens = sum(int(scores.tokens.sum()) for scores in whole.scores.values())
    monkeypatch.setattr(LocalEngine, "tokens_per_second", lambda *_: tokens / 600)
    first = run_evaluate(tiny, data, tmp_path / "run", config=config)
    monkeypatch.setattr(LocalEngine, "tokens_per_second", lambda *_: 1e9)
    second = run_evaluate(tiny, data, tmp_path / "run", config=config, name="other")
    ids = {scores.example_ids for scores in (*first.scores.values(), *second.scores.values())}
    assert len(ids) == 1
    assert 1 <= len(next(iter(ids))) < 6
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["budget"] == {"sentiment": len(next(iter(ids)))}
    assert manifest["stages"]["evaluate/base/sentiment"]["settings"]["limit"] == len(next(iter(ids)))


def test_a_budget_that_suffices_takes_all(tiny, tmp_path, monkeypatch):
    data = small_data(tmp_path / "data")
    monkeypatch.setattr(LocalEngine, "tokens_per_second", lambda *_: 1e9)
    found = run_evaluate(tiny, data, config=EvaluateConfig(budget_minutes=1))
    assert {len(scores.example_ids) for scores in found.scores.values()} == {6}


def test_unknown_language_and_label_set(tiny, tmp_path):
    data = small_data(tmp_path / "data")
    with pytest.raises(ConfigError, match="'fr' is not available"):
        run_evaluate(tiny, data, languages="en,fr")
    with pytest.raises(ConfigError, match="label set 'french'"):
        run_evaluate(tiny, data, config=EvaluateConfig(labels="french"))


def test_a_folder_without_scores_is_named(tmp_path):
    with pytest.raises(DataError, match="no scores here"):
        read_evaluation(tmp_path)


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "en.parquet").write_text("x")
    with pytest.raises(DataError, match=r"en\.parquet: not a table"):
        read_evaluation(tmp_path)


def test_progress_counts_items_alone_and_ends_once(tiny, tmp_path):
    told = []
    run_evaluate(tiny, small_data(tmp_path / "data"), progress=lambda activity, done, total: told.append((done, total)))
    assert told[0] == (0, 18)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (18, 18)


@pytest.mark.slow
def test_a_process_that_is_killed_outright_goes_on(tiny_folder, tmp_path):
    """SIGKILL while it scores: the same bytes as without, and at most the batch in flight is lost."""
    data = small_data(tmp_path / "data", ("en", "de"), items=120)
    command = [
        *(sys.executable, "-m", "spillover", "evaluate", "--model", str(tiny_folder), "--dtype", "float32"),
        *("--data", str(data), "--set", "evaluate.batch_tokens=24", "--out", str(tmp_path / "killed")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    written = tmp_path / "killed" / "evaluate" / "base" / "sentiment" / "en.batches.jsonl"
    while process.poll() is None and not (written.exists() and written.read_bytes().count(b"\n") > 3):
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert written.exists()
    model = load_model(str(tiny_folder), dtype="float32")
    for out in ("killed", "whole"):
        run_evaluate(model, data, tmp_path / out)
    assert table_bytes(tmp_path / "killed") == table_bytes(tmp_path / "whole")


def test_the_chat_form_is_part_of_what_an_evaluation_is_known_by(tmp_path):
    data, model = small_data(tmp_path / "data"), chat_model("chatml")
    sides = {}
    for name, config in {
        "off": SMALL.model_copy(update={"chat": "off"}),
        "auto": SMALL,
        "turns": SMALL.model_copy(update={"chat": "turns"}),
        "single": SMALL.model_copy(update={"chat": "single"}),
        "system": SMALL.model_copy(update={"system_prompt": "Be brief."}),
    }.items():
        sides[name] = run_evaluate(model, data, tmp_path / "run", name=name, config=config)
    assert len({side.key for side in sides.values()}) == 4
    assert sides["auto"].key == sides["turns"].key
    assert sides["off"].experiment.chat == "off"
    assert sides["turns"].experiment.chat.startswith("turns ")
    assert len({side.experiment.chat for side in sides.values()}) == 4
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert stages["evaluate/auto/sentiment"]["facts"]["chat"] == sides["turns"].experiment.chat
    assert stages["evaluate/system/sentiment"]["settings"]["system_prompt"] == "Be brief."
    assert not {"chat", "system_prompt"} & set(stages["evaluate/off/sentiment"]["settings"])
    again = read_evaluation(tmp_path / "run" / "evaluate" / "single" / "sentiment")
    assert again.experiment == sides["single"].experiment
    (note,) = differences(sides["off"], sides["turns"])
    assert note == f"chat template (off → {sides['turns'].experiment.chat})"


def test_without_a_template_auto_is_off(tiny, tmp_path):
    data = small_data(tmp_path / "data")
    assert run_evaluate(tiny, data).key == run_evaluate(tiny, data, config=SMALL.model_copy(update={"chat": "off"})).key


def test_a_template_that_fails_stops_before_anything_is_written(tmp_path):
    data, model = small_data(tmp_path / "data"), with_template(chat_model("gemma"), "{{ raise_exception('broken') }}")
    with pytest.raises(ModelError, match="its chat template fails: broken"):
        run_evaluate(model, data, tmp_path / "run")
    assert not (tmp_path / "run" / "evaluate").exists()
