"""Evaluations by servers: tables are those of an uninterrupted run, whatever dies; and they say who scored."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, RunError
from spillover.core.runs import open_run
from spillover.models.served_model import open_served_model
from spillover.stages.compare.differences import differences
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.stage import probe
from spillover.stages.steer.stage import steer
from spillover.stages.train.stage import train
from spillover.tasks.benchmark import open_benchmark
from tests.builders import make_model, small_data
from tests.models.fake_server import FakeServer, serving
from tests.models.test_server import opened
from tests.stages.evaluate.test_stage import table_bytes

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
CONFIG = EvaluateConfig(content_free=["N/A"])


def run_evaluate(model, data, out=None, **options):
    return evaluate(model, open_benchmark("sentiment", data=str(data)), out=out, config=CONFIG, **options)


@pytest.mark.parametrize("items", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_server_killed_midway_changes_no_byte(items, tiny, tokenizer_folder, tmp_path):
    data = small_data(tmp_path / "data", ("en", "de"), items=items)
    first, second = FakeServer({"tiny": tiny}), FakeServer({"tiny": tiny})
    with serving(first, second) as urls:
        model = opened(urls, tokenizer_folder, backoff=0.001)
        first.completions.clear()
        run_evaluate(model, data, tmp_path / "whole")
        first.dies_after = 2 * len(first.completions) - items // 2  # about half of its share of the items
        run_evaluate(model, data, tmp_path / "killed")
        assert first.dead
    assert table_bytes(tmp_path / "killed") == table_bytes(tmp_path / "whole")
    scores = read_evaluation(tmp_path / "killed" / "evaluate" / "base" / "sentiment").scores
    assert [len(set(own.example_ids)) for own in scores.values()] == [items, items]


def test_what_was_scored_before_the_last_server_died_is_not_asked_again(tiny, tokenizer_folder, tmp_path):
    data = small_data(tmp_path / "data", ("en",), items=30)
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        model = opened(urls, tokenizer_folder)
        fake.completions.clear()
        run_evaluate(model, data, tmp_path / "whole")
        needed = len(fake.completions)
        model = opened(urls, tokenizer_folder, backoff=0.001, in_flight=2)
        fake.dies_after = len(fake.completions) + needed - 15  # of 31 requests for items
        with pytest.raises(RunError, match="no server answers"):
            run_evaluate(model, data, tmp_path / "killed")
        (lines,) = (tmp_path / "killed").rglob("*.batches.jsonl")
        kept = [json.loads(line)["index"] for line in lines.read_text().splitlines()]
        assert kept
        assert all(len(index) == 1 for index in kept), "stored item by item"
        fake.dies_after = None
        model = opened(urls, tokenizer_folder)
        fake.completions.clear()
        run_evaluate(model, data, tmp_path / "killed")
        assert len(fake.completions) == needed - len(kept)
    assert table_bytes(tmp_path / "killed") == table_bytes(tmp_path / "whole")


def test_an_evaluation_says_who_scored_and_compare_says_where_that_differs(tiny, tokenizer_folder, tmp_path):
    data = small_data(tmp_path / "data", ("en",))
    local = run_evaluate(tiny, data)
    with serving(FakeServer({"tiny": tiny}), FakeServer({"tiny": tiny})) as urls:
        one, other = (opened([url], tokenizer_folder) for url in urls)
        by_one, by_other = run_evaluate(one, data, tmp_path / "run"), run_evaluate(other, data)
    for code, scores in local.scores.items():
        np.testing.assert_allclose(by_one.scores[code].logprobs, scores.logprobs, atol=1e-5)
    assert one.ref.fingerprint == other.ref.fingerprint, "the address is not the model"
    (named,) = differences(by_one, by_other)
    assert named == f"what computed the scores ({one.engine} → {other.engine})"
    assert differences(local, by_one) == [f"what computed the scores (local → {one.engine})"]
    assert differences(by_one, read_evaluation(tmp_path / "run" / "evaluate" / "base" / "sentiment")) == []
    facts = open_run(tmp_path / "run").manifest()["stages"]["evaluate/base/sentiment"]["facts"]
    assert facts["batching"]["flips"] == 0
    assert facts["engine"] == one.engine


def test_other_weights_under_the_same_name_are_found(tiny, tokenizer_folder, tmp_path):
    data = small_data(tmp_path / "data", ("en",))
    other = replace(make_model(seed=3), tokenizer=tiny.tokenizer)
    with serving(FakeServer({"tiny": tiny}), FakeServer({"tiny": other})) as urls:
        for url in urls[:1] * 2:
            run_evaluate(opened([url], tokenizer_folder), data, tmp_path / "run")
        with pytest.raises(RunError, match="another model answers to 'tiny' than when this run began"):
            run_evaluate(opened(urls[1:], tokenizer_folder), data, tmp_path / "run")


def test_probe_train_and_steer_refuse_a_server(tiny, tokenizer_folder, tmp_path):
    with serving(FakeServer({"tiny": tiny})) as urls:
        model = open_served_model("tiny", urls, tokenizer=tokenizer_folder)
    with pytest.raises(ConfigError, match="train: needs the model's weights"):
        train(model, [], out=tmp_path / "run")
    with pytest.raises(ConfigError, match="probe: needs the model's weights"):
        probe(open_run(tmp_path / "run"), model, "sentiment", name="base")
    with pytest.raises(ConfigError, match="steer: needs the model's weights"):
        steer(model, "sentiment", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
