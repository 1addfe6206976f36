from __future__ import annotations

from pathlib import Path

import pytest

from spillover.core.config import load_config
from spillover.core.errors import ConfigError
from spillover.pipeline import Result
from spillover.sweep import load_grid, sweep
from tests.builders import save_model, small_data


def grid_file(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


def test_every_combination_with_a_name_of_its_own(tmp_path):
    path = grid_file(tmp_path, "name: g\nseed: 3\ngrid:\n  train.rank: [4, 8]\n  build.sources: [[es], [de]]\n")
    configs = load_grid(path)
    assert [(c.train.rank, c.build.sources) for c in configs] == [(4, ["es"]), (4, ["de"]), (8, ["es"]), (8, ["de"])]
    assert len({config.name for config in configs}) == 4
    assert {config.seed for config in configs} == {3}


def test_cases_set_several_keys_together_and_name_their_runs(tmp_path):
    text = "name: g\ncases:\n  one: {build.sources: [es], build.pairs: 8}\n  two: {build.sources: [es, de], build.pairs: 4}\n"
    configs = load_grid(grid_file(tmp_path, text))
    assert [(c.build.sources, c.build.pairs) for c in configs] == [(["es"], 8), (["es", "de"], 4)]
    assert [config.name.rpartition("-")[0] for config in configs] == ["g-one", "g-two"]
    configs = load_grid(grid_file(tmp_path, text + "grid: {train.rank: [4, 8]}\n"))
    assert [(c.build.pairs, c.train.rank) for c in configs] == [(8, 4), (8, 8), (4, 4), (4, 8)]


@pytest.mark.parametrize(
    "text",
    [
        "name: g\n", "grid: 3\n", "grid: {}\n", "grid: {train.rank: 8}\n", "grid: {train.rnk: [8]}\n", "cases: {}\n",
        "cases: [a]\n", "cases: {a: 3}\n", "cases: {a: {train.rnk: 8}}\n",
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path, text):
    with pytest.raises(ConfigError):
        load_grid(grid_file(tmp_path, text))


@pytest.mark.parametrize("name", ["arms"])
def test_the_example_grid_is_whole(name):
    configs = load_grid(Path(__file__).parents[1] / "examples" / f"{name}.yaml")
    assert [config.build.arm for config in configs] == ["translate", "shuffled", "copy"]


def test_the_hard_tuning_recipe_is_the_one_described():
    config = load_config(Path(__file__).parents[1] / "examples" / "hard-tuning.yaml")
    assert (config.train.rank, config.train.targets, config.train.learning_rate) == (32, "all-linear", 1e-3)


def test_a_sweep_runs_every_point_compares_the_first_with_the_others_and_resumes(tmp_path):
    save_model(tmp_path / "model")
    small_data(tmp_path / "data")
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"""name: arms
data: {tmp_path / "data"}
model: {{name: {tmp_path / "model"}, dtype: float32, device: cpu}}
build: {{sources: [de]}}
train: {{epochs: 1, batch: 2, validation: 0.0, keep_merged: false}}
probe: {{items: 3, random_weights: false}}
compare: {{draws: 20}}
grid: {{build.arm: [translate, copy]}}
"""
    )
    result = sweep(grid, tmp_path / "runs")
    assert [run.path.name for run in result.runs] == [config.name for config in load_grid(grid)]
    assert [comparison.task for comparison in result.comparisons] == ["sentiment"]
    assert set(result.comparisons[0].contrasts["against"]) == {"copy"}
    assert result.page == tmp_path / "runs" / "report.html"
    weights = result.runs[0].path / "train" / "adapter" / "adapter_model.safetensors"
    trained = weights.stat().st_mtime_ns
    sweep(grid, tmp_path / "runs")
    assert weights.stat().st_mtime_ns == trained


def test_a_sweep_over_folds_ends_with_every_item_compared_once(tmp_path):
    save_model(tmp_path / "model")
    small_data(tmp_path / "data", items=12)
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"""name: halves
data: {tmp_path / "data"}
model: {{name: {tmp_path / "model"}, dtype: float32, device: cpu}}
build: {{sources: [de], questions: unscored}}
train: {{epochs: 1, batch: 2, validation: 0.0, keep_merged: false}}
probe: {{items: 2, random_weights: false}}
compare: {{draws: 20}}
grid: {{fold: [1/2, 2/2]}}
"""
    )
    result = sweep(grid, tmp_path / "runs")
    (comparison,) = result.comparisons
    alone = [run.comparisons[0].languages["n"].tolist() for run in result.runs]
    assert comparison.languages["n"].tolist() == [12, 12, 12] == [sum(pair) for pair in zip(*alone, strict=True)]
    assert all(0 < count < 12 for counts in alone for count in counts)
    assert "each scored by a model tuned on questions of the others" in str(comparison)


def test_a_sweep_of_one_run_compares_nothing(tmp_path, monkeypatch):
    path = grid_file(tmp_path, "grid: {train.rank: [8]}\n")
    monkeypatch.setattr("spillover.sweep.run", lambda config, out, **_: Result(out, out / "report.html", ()))
    result = sweep(path, tmp_path)
    assert (len(result.runs), result.comparisons, result.page) == (1, (), None)
