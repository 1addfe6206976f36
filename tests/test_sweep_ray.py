"""A sweep on a real Ray: a worker killed, a cell with a mistake, a head that is gone."""

from __future__ import annotations

import json
import os
import signal
import time

import pyarrow.parquet as pq
import pytest

from spillover.sweep import load_grid
from tests.builders import save_model, small_data
from tests.ray_processes import start

GRID = """name: g
data: data
languages: [en, de]
model: {{name: model, dtype: float32, device: cpu}}
build: {{sources: [de]}}
train: {{epochs: 2, batch: 2, validation: 0.0, keep_merged: false, checkpoint_steps: 1}}
evaluate: {{batch_tokens: 64}}
probe: {{items: 3, random_weights: false}}
compare: {{draws: 20}}
grid: {{{grid}}}
"""
ON_RAY = ["sweep", "grid.yaml", "--on", "ray"]
SIX = "build.arm: [translate, copy], train.seed: [0, 1, 2]"


@pytest.fixture
def workplace(tmp_path):
    pytest.importorskip("ray")
    save_model(tmp_path / "model")
    small_data(tmp_path / "data", ("en", "de"), items=24)
    for name in ("local", "ray"):
        (tmp_path / name).mkdir()
        for held in ("model", "data", "grid.yaml"):
            (tmp_path / name / held).symlink_to(tmp_path / held)
    return tmp_path


def tables(folder):
    paths = [*folder.rglob("*.parquet"), *folder.rglob("adapter_model.safetensors"), *folder.rglob("verdict.json")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def holder(cell):
    """The process that works on a cell; None when there is none."""
    try:
        return json.loads((cell / "run.lock").read_text())["pid"]
    except (OSError, ValueError):
        return None


def kill_when(ray, out, happened):
    """Kill, by SIGKILL, the process that works on the first cell in which `happened`; the cell's name."""
    while ray.running():
        for cell in sorted(out.glob("*/")):
            pid = holder(cell)
            if pid in {process.pid for process in ray.seen} and happened(cell):
                os.kill(pid, signal.SIGKILL)
                return cell.name
        time.sleep(0.02)
    return None


@pytest.mark.ray
def test_a_worker_killed_in_a_sweep_of_six_cells_loses_no_item_and_scores_none_twice(workplace):
    (workplace / "grid.yaml").write_text(GRID.format(grid=SIX))
    code, said = start(["sweep", "grid.yaml"], workplace / "local").end()
    assert code == 0, said
    local, runs = workplace / "local" / "runs", workplace / "ray" / "runs"
    ray = start(ON_RAY, workplace / "ray")
    killed = kill_when(ray, runs, lambda cell: list(cell.glob("evaluate/base/*/*.batches.jsonl")))
    code, said = ray.end()
    assert code == 0, said
    assert killed
    assert len([path for path in runs.iterdir() if path.is_dir()]) == 6
    assert tables(runs) == tables(local)
    for path in runs.glob("*/evaluate/*/*/*.parquet"):
        assert sorted(pq.read_table(path)["example_id"].to_pylist()) == sorted(f"item-{i}" for i in range(24))
    assert not list(runs.rglob("*.batches.jsonl"))
    assert not list(runs.glob("*.lock"))
    assert ray.left() == []


@pytest.mark.ray
def test_a_cell_with_a_mistake_ends_alone_and_the_last_line_names_it(workplace):
    (workplace / "grid.yaml").write_text(GRID.format(grid="build.sources: [[de], [en]], train.seed: [0]"))
    first, second = (cell.name for cell in load_grid(workplace / "grid.yaml"))
    ray = start(ON_RAY, workplace / "ray")
    code, said = ray.end()
    assert code in (2, 3), said
    assert f"error: 1 of 2 cells have no result: {second} (" in said
    assert "Traceback" not in said
    assert (workplace / "ray" / "runs" / first / "report.html").exists()
    assert ray.left() == []


@pytest.mark.ray
def test_a_head_that_is_killed_is_one_line_and_the_same_command_resumes(workplace):
    (workplace / "grid.yaml").write_text(GRID.format(grid="train.seed: [0, 1]"))
    ray = start(ON_RAY, workplace / "ray")
    while ray.running() and not list(workplace.glob("ray/runs/*/train/checkpoints/*")):
        time.sleep(0.05)
    (head,) = ray.pids("gcs_server")
    os.kill(head, signal.SIGKILL)
    code, said = ray.end()
    assert code == 3, said
    assert "is gone" in said
    assert "Traceback" not in said
    assert ray.left() == []
    code, said = start(["sweep", "grid.yaml"], workplace / "ray").end()
    assert code == 0, said
