from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from spillover.stages.alternatives.table import alternatives_of
from tests.stages.alternatives.builders import scored_rows


def test_every_mistake_in_a_config_is_listed(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("nmae: x\nlimit: few\ntrain: {rank: 0}\n")
    code, _, error = call("run", "bad.yaml", "--out", "run")
    assert code == 2
    assert all(part in error for part in ("nmae", "few", "train.rank"))
    assert not Path("run").exists()


def test_help_config_lists_every_key(call):
    assert "train.rank" in call("run", "--help-config")[1]


def test_the_file_is_read_then_set_then_flags(tmp_path, monkeypatch, call):
    runs = []

    def run(config, out, **_):
        runs.append((config, out))
        return SimpleNamespace(comparisons=(), alternatives=(), page=out / "report.html")

    monkeypatch.setattr("spillover.pipeline.run", run)
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nlimit: 10\nseed: 3\ntrain: {rank: 4}\n")
    code, output, error = call("run", path, "--set", "train.rank=16", "--set", "limit=20", "--limit", "30")
    assert code == 0, error
    ((config, out),) = runs
    assert (config.seed, config.train.rank, config.limit, out) == (3, 16, 30, Path("runs/mine"))
    assert output.split() == ["report:", "runs/mine/report.html"]
    call("demo", "--set", "train.epochs=3")
    assert (runs[1][0].name, runs[1][0].train.epochs, runs[1][0].build.sources) == ("demo", 3, ["es", "zh", "sw"])


def test_the_table_of_alternatives_is_printed_after_the_comparisons(tmp_path, monkeypatch, call):
    table = alternatives_of(scored_rows(np.random.default_rng(0), n=60, tuned=1.0), seen=["de"])
    result = SimpleNamespace(comparisons=(), alternatives=(table,), page=Path("report.html"))
    monkeypatch.setattr("spillover.pipeline.run", lambda *_, **__: result)
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\n")
    code, output, error = call("run", path)
    assert code == 0, error
    assert " ".join(table.verdict.split()) in " ".join(output.split())
    assert output.endswith("report: report.html\n")
