from __future__ import annotations

import json


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
    assert "figure-transfer-sentiment" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    folders = sorted(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    code, output, error = call("compare", *folders, "--draws", "20", "--json")
    assert code == 0, error
    assert json.loads(output)[0]["contrasts"]
    assert "tabular" in call("compare", folders[0], "--draws", "20", "--latex")[1]
    assert "minimum detectable change" in call("compare", "--plan", "--primary", "accuracy", folders[0])[1]
