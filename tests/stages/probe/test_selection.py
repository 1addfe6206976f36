"""Which items are probed: those that the run's evaluation scored."""

from __future__ import annotations

import pandas as pd
import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, RunError
from spillover.core.runs import open_run
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.selection import only_evaluation, task_and_data
from spillover.tasks.benchmark import open_benchmark
from tests.builders import make_model, small_data
from tests.models.chat_templates import chat_model
from tests.stages.probe.builders import run_probe


def test_the_items_are_those_of_the_runs_evaluation(tiny, tmp_path):
    data = str(small_data(tmp_path / "data"))
    config = EvaluateConfig(labels="native", shots="en")
    evaluate(
        tiny,
        open_benchmark("sentiment", data=data, languages="de,en", limit=3),
        config=config,
        out=tmp_path / "run",
        name="base",
    )
    run = open_run(tmp_path / "run")
    scored = pd.read_parquet(tmp_path / "run" / "evaluate" / "base" / "sentiment" / "de.parquet")
    folder = run_probe(run, tiny, data)
    items = pd.read_parquet(folder / "lens_items.parquet")
    assert set(items["language"]) == {"de", "en"}
    assert set(items["example_id"]) == set(scored["example_id"])
    settings = run.manifest()["stages"]["probe/base"]["settings"]
    assert (settings["labels"], settings["shots"]) == ("native", "en")
    final = items[items["language"] == "de"].set_index("example_id").loc[scored["example_id"], "answer"]
    given = scored[["logprob_positive", "logprob_negative"]].to_numpy().argmax(axis=1)
    assert list(final) == [("positive", "negative")[i] for i in given]
    with pytest.raises(RunError, match="evaluate/base is of the model tiny-0, this one is tiny-1"):
        run_probe(run, make_model(seed=1), data)
    other = str(small_data(tmp_path / "other", items=8))
    with pytest.raises(RunError, match="scored other data in en, de"):
        run_probe(run, tiny, other)
    with pytest.raises(ConfigError, match="'es' is not available"):
        run_probe(run, tiny, data, languages="es")


def test_task_and_data_are_those_of_the_only_evaluation(tiny, tmp_path):
    data, run = str(small_data(tmp_path / "data")), open_run(tmp_path / "run")
    with pytest.raises(RunError, match="no evaluation of 'base' to take the items from"):
        task_and_data(run, "base", None, None)
    assert task_and_data(run, "base", "sentiment", None) == ("sentiment", "demo", None)
    evaluate(tiny, open_benchmark("sentiment", data=data, limit=2), out=run.path, name="base")
    assert task_and_data(run, "base", None, None) == ("sentiment", data, None)
    assert only_evaluation(run, "base").task == "sentiment"


def test_the_chat_form_is_that_of_the_runs_evaluation(tmp_path):
    data, model = str(small_data(tmp_path / "data")), chat_model("qwen3")
    run = open_run(tmp_path / "run")
    opened = open_benchmark("sentiment", data=data, languages="de,en", limit=3)
    for name, form in (("base", "single"), ("plain", "off")):
        evaluate(model, opened, config=EvaluateConfig(chat=form), out=run.path, name=name)
        scored = pd.read_parquet(run.path / "evaluate" / name / "sentiment" / "de.parquet")
        folder = run_probe(run, model, data, name=name)
        items = pd.read_parquet(folder / "lens_items.parquet")
        final = items[items["language"] == "de"].set_index("example_id").loc[scored["example_id"], "answer"]
        given = scored[["logprob_positive", "logprob_negative"]].to_numpy().argmax(axis=1)
        assert list(final) == [("positive", "negative")[i] for i in given]
    stages = run.manifest()["stages"]
    assert stages["probe/base"]["settings"]["chat"] == "single"
    assert "chat" not in stages["probe/plain"]["settings"]
    assert pd.read_parquet(run.path / "probe" / "base" / "pca.parquet").shape
    with pytest.raises(RunError, match="evaluate/base was made with --chat single, system prompt None"):
        run_probe(run, model, data, evaluate=EvaluateConfig(chat="turns"))


def test_without_an_evaluation_the_chat_form_is_the_configs(tmp_path):
    data, run = str(small_data(tmp_path / "data")), open_run(tmp_path / "run")
    run_probe(run, chat_model("gemma"), data, evaluate=EvaluateConfig(chat="single"))
    assert run.manifest()["stages"]["probe/base"]["settings"]["chat"] == "single"
