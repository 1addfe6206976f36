"""Scores by workers are those of one process, byte by byte, in whatever order they come."""

from __future__ import annotations

import json

import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError
from spillover.models.engine import open_engine
from spillover.models.local import LocalEngine
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, kind_task, prompts_of, small_data
from tests.models.local_workers import local_workers

CONFIG = EvaluateConfig(batch_tokens=64)


def tables(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}


def opened(task, folder):
    """Items with labels, or with answers of their own, in three languages."""
    if task == "sentiment":
        return open_benchmark(task, data=str(small_data(folder / "data", items=8)))
    return open_benchmark(kind_task(task), data=KIND_DATA)


@pytest.mark.parametrize("task", ["sentiment", "reading"])
@pytest.mark.parametrize("workers", [1, 3])
def test_tables_are_those_of_one_process(task, workers, tiny, tmp_path, monkeypatch):
    benchmark = opened(task, tmp_path)
    model = local_workers(monkeypatch, tiny, workers)
    evaluate(tiny, benchmark, config=CONFIG, out=tmp_path / "one")
    evaluate(model, benchmark, config=CONFIG, out=tmp_path / "workers")
    assert len(tables(tmp_path / "one")) == 3
    assert tables(tmp_path / "one") == tables(tmp_path / "workers")
    assert all(handle.calls.count("score") > 1 for handle in model.pool.workers)
    one, several = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "workers"))
    stage = f"evaluate/base/{task}"
    assert one["stages"][stage]["key"] == several["stages"][stage]["key"], "one resumes what the other began"


def test_an_evaluation_that_lost_its_workers_resumes_without_them(tiny, tmp_path, monkeypatch):
    benchmark = opened("sentiment", tmp_path)
    evaluate(tiny, benchmark, config=CONFIG, out=tmp_path / "one")
    score, calls = LocalEngine._score, []

    def broken(self, plan, batch, **options):
        calls.append(batch)
        if len(calls) > 8:
            raise KeyboardInterrupt
        return score(self, plan, batch, **options)

    model = local_workers(monkeypatch, tiny)
    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "_score", broken)
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, benchmark, config=CONFIG, out=tmp_path / "cut")
    kept = [json.loads(line)["index"] for path in tmp_path.rglob("cut/**/*.jsonl") if "batches" in path.name for line in path.read_text().splitlines()]  # fmt: skip
    assert kept
    evaluate(tiny, benchmark, config=CONFIG, out=tmp_path / "cut")
    assert tables(tmp_path / "one") == tables(tmp_path / "cut")


def test_one_plan_and_its_rate(tiny, monkeypatch):
    engine = open_engine(local_workers(monkeypatch, tiny), CONFIG)
    plan = engine.plan(prompts_of(9))
    assert plan == open_engine(tiny, CONFIG).plan(prompts_of(9))
    assert engine.tokens_per_second(plan) > 0
    scored = [number for batch in engine.score(plan, frozenset([2])) for number in batch.index]
    assert sorted(scored) == [0, 1, 3, 4, 5, 6, 7, 8]
    with pytest.raises(ConfigError, match="no hidden states"):
        next(engine.score(plan, states=True))
