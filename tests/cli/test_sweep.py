from __future__ import annotations

import json
import sys


def test_a_sweep_ends_with_the_real_arm_against_the_placebo(workspace, tmp_path, call):
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"""name: arms
data: {workspace / "data"}
model: {{name: {workspace / "model"}, dtype: float32, device: cpu}}
build: {{sources: [de]}}
train: {{epochs: 1, batch: 2, validation: 0.0, keep_merged: false}}
probe: {{items: 3, random_weights: false}}
compare: {{draws: 20}}
grid: {{build.arm: [translate, copy], train.seed: [0, 1]}}
"""
    )
    code, output, error = call("sweep", grid, "--out", tmp_path / "runs")
    assert code == 0, error
    assert "translate against copy" in output
    assert "over 2 seeds" in output
    assert "figure-transfer-sentiment" in (tmp_path / "runs" / "grid.html").read_text(encoding="utf-8")
    folders = sorted(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    code, output, error = call("compare", *folders, "--draws", "20", "--json")
    assert code == 0, error
    assert json.loads(output)[0]["contrasts"]
    assert "tabular" in call("compare", folders[0], "--draws", "20", "--latex")[1]
    assert "minimum detectable change" in call("compare", "--plan", "--primary", "accuracy", folders[0])[1]


def test_commands_of_the_cells_are_printed_and_what_is_missing_is_named(workspace, tmp_path, call):
    grid = tmp_path / "a grid.yaml"
    grid.write_text(f"name: g\ndata: {workspace / 'data'}\ngrid: {{train.seed: [0, 1]}}\n")
    code, output, _ = call("sweep", grid, "--out", tmp_path / "runs", "--print")
    assert code == 0
    first, *others = output.splitlines()
    assert len(others) == 1
    assert first.startswith(f"spillover sweep '{grid}' --out {tmp_path / 'runs'} --cell g-")
    assert not (tmp_path / "runs").exists()
    code, output, error = call("sweep", grid, "--out", tmp_path / "runs", "--collect")
    assert (code, output) == (3, "")
    assert error.startswith("error: 2 of 2 cells have no result: g-")
    assert call("sweep", grid, "--cell", "g-none")[0] == 2


def test_ways_to_run_a_grid_exclude_each_other(tmp_path, call):
    code, _, error = call("sweep", tmp_path / "grid.yaml", "--print", "--collect")
    assert code == 2
    assert "mutually exclusive" in error


def test_without_ray_it_says_what_to_install(workspace, tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"data: {workspace / 'data'}\ngrid: {{train.seed: [0, 1]}}\n")
    code, _, error = call("sweep", grid, "--out", tmp_path / "runs", "--on", "ray")
    assert code == 4
    assert "pip install 'spillover[ray]'" in error
    assert not (tmp_path / "runs").exists()
