from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from spillover.core.config import load_config
from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.files import read_table, write_yaml
from spillover.core.runs import Run, open_run
from spillover.core.types import no_progress
from spillover.pipeline import EVALUATED, Result, _evaluate_both, _resume_base_scores
from spillover.sweep import SweepResult, collect, commands, load_grid, run_cell, sweep
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


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(grid file, the result of its two cells, run one after the other into the folder `runs` beside it)."""
    root = tmp_path_factory.mktemp("sweep")
    save_model(root / "model")
    small_data(root / "data", ("en", "de"))
    grid = grid_file(
        root,
        f"""name: arms
data: {root / "data"}
model: {{name: {root / "model"}, dtype: float32, device: cpu}}
build: {{sources: [de]}}
train: {{epochs: 1, batch: 2, validation: 0.0, keep_merged: false}}
probe: {{items: 3, random_weights: false}}
compare: {{draws: 20}}
grid: {{build.arm: [translate, copy]}}
""",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return grid, sweep(grid, "runs")


def tables(folder):
    paths = [*folder.rglob("*.parquet"), *folder.rglob("adapter_model.safetensors"), *folder.rglob("verdict.json")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def test_a_sweep_runs_every_point_compares_the_first_with_the_others_and_resumes(swept, monkeypatch):
    grid, result = swept
    monkeypatch.chdir(grid.parent)
    runs = Path("runs")
    assert [run.path.name for run in result.runs] == [config.name for config in load_grid(grid)]
    assert [comparison.task for comparison in result.comparisons] == ["sentiment"]
    assert set(result.comparisons[0].contrasts["against"]) == {"copy"}
    assert (result.page, result.failure) == (runs / f"{grid.stem}.html", None)
    weights = result.runs[0].path / "train" / "adapter" / "adapter_model.safetensors"
    trained = weights.stat().st_mtime_ns
    sweep(grid, runs)
    assert weights.stat().st_mtime_ns == trained
    assert not list(runs.glob("*.lock"))


def test_cells_by_commands_of_their_own_in_any_order_leave_the_runs_of_a_sweep(swept, tmp_path, monkeypatch):
    grid, result = swept
    monkeypatch.chdir(tmp_path)
    first, second = commands(grid, "runs")
    for command in (second, first):
        verb, path, _, out, _, name = shlex.split(command)[1:]
        assert (verb, path, out) == ("sweep", str(grid), "runs")
        run_cell(path, name, out)
        if command == second:
            half = collect(grid, "runs")
            assert [run.path.name for run in half.runs] == [name]
            assert (half.comparisons, half.page) == ((), None)
            lacking = result.runs[0].path.name
            assert half.failure.problems == [f"1 of 2 cells have no result: {lacking} (runs/{lacking}: not finished)"]
            assert half.failure.hint == first
    collected = collect(grid, "runs")
    assert collected.failure is None
    assert [run.path.name for run in collected.runs] == [run.path.name for run in result.runs]
    assert set(collected.comparisons[0].contrasts["against"]) == {"copy"}
    assert collected.page.exists()
    assert tables(tmp_path / "runs") == tables(grid.parent / "runs")


def test_a_cell_that_the_grid_does_not_have_is_named(swept, tmp_path):
    grid, result = swept
    with pytest.raises(ConfigError, match="the grid has no cell 'arms-none'") as caught:
        run_cell(grid, "arms-none", tmp_path)
    assert result.runs[1].path.name in caught.value.hint


def test_cells_of_another_config_are_not_collected(swept):
    grid, result = swept
    other = grid.with_name("other.yaml")
    other.write_text(grid.read_text().replace("epochs: 1", "epochs: 2"))
    with pytest.raises(RunError, match="2 of 2 cells have no result"):
        raise collect(other, grid.parent / "runs").failure
    where = grid.with_name("where.yaml")
    where.write_text(grid.read_text() + "ray: {num_cpus: 4}\n")
    assert len(collect(where, grid.parent / "runs").runs) == len(result.runs), "where a cell runs is not what it is"


@pytest.mark.parametrize(("busy", "order"), [(False, ["base", "tuned"]), (True, ["tuned", "base"])])
def test_a_cell_that_finds_another_at_the_base_scores_its_tuned_model_first(busy, order, tmp_path, monkeypatch):
    scored = []
    monkeypatch.setattr("spillover.pipeline.is_locked", lambda path: busy)
    monkeypatch.setattr("spillover.stages.evaluate.stage.evaluate", lambda *_, name, **__: scored.append(name))
    models, folder = {"base": None, "tuned": None}, Run(tmp_path / "cell")
    _evaluate_both(load_config(), folder, ["a benchmark"], models, [tmp_path / "other"], no_progress)
    assert scored == order


def test_what_an_interrupted_cell_scored_of_the_base_is_taken_over(tmp_path):
    config = load_config()
    inputs = config.model_dump(include=EVALUATED, mode="json")
    other, own = tmp_path / "other", tmp_path / "own"
    write_yaml(other / "config.yaml", config.model_copy(update={"name": "other"}).model_dump())
    scored = [folder / "evaluate" / "base" / "sentiment" for folder in (other, own)]
    for folder, names in zip(
        scored, (("de.parquet", "en.batches.jsonl", "es.batches.jsonl"), ("es.parquet",)), strict=True
    ):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(str(folder))
    _resume_base_scores(inputs | {"limit": 3}, Run(own), other)
    assert len(list(scored[1].iterdir())) == 1, "other items"
    _resume_base_scores(inputs, Run(own), tmp_path / "not there yet")
    _resume_base_scores(inputs, Run(own), other)
    assert {path.name: path.read_text() for path in scored[1].iterdir()} == {
        "de.parquet": str(scored[0]), "en.batches.jsonl": str(scored[0]), "es.parquet": str(scored[1])
    }  # fmt: skip


def test_training_and_scores_are_taken_over_from_another_sweep_of_the_folder(swept, tmp_path, monkeypatch):
    """The scores are those that it would have made; its tables name the run that did."""
    grid, _ = swept
    other = tmp_path / "labels.yaml"
    other.write_text(grid.read_text().replace("grid: {build.arm: [translate, copy]}", "grid: {probe.items: [2]}"))
    shutil.copytree(grid.parent / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    sweep(other, "alone")
    train, score = Mock(), Mock(return_value=iter(()))
    monkeypatch.setattr("spillover.stages.train.stage._train", train)
    monkeypatch.setattr("spillover.stages.evaluate.stage.score_plans", score)
    (beside,) = sweep(other, "runs").runs
    assert not train.called
    assert not any(plans for call in score.call_args_list for plans in call.args[1:])
    (alone,) = [path for path in Path("alone").iterdir() if path.is_dir()]
    for name, content in tables(alone).items():
        if name.startswith("evaluate"):
            pd.testing.assert_frame_equal(read_table(beside.path / name), read_table(alone / name))
        elif name.startswith("train"):
            assert (beside.path / name).read_bytes() == content
    stages = open_run(beside.path).manifest()["stages"]
    taken = {name for name, record in stages.items() if "taken_over_from" in record}
    assert taken == {"train", "evaluate/base/sentiment", "evaluate/tuned/sentiment"}


def test_an_error_of_several_cells_names_them_all_and_is_of_the_first_ones_kind():
    failed = {"a": DataError("data/x:3: wrong"), "b": ConfigError("no")}
    failure = SweepResult((), failed=failed).failure
    assert isinstance(failure, DataError)
    assert failure.problems == ["2 of 2 cells have no result: a (data/x:3: wrong); b (no)"]


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
    pages = [run.page.read_text(encoding="utf-8") for run in result.runs]
    assert ["(fold 1/2 of all items)" in page for page in pages] == [True, False]


def test_a_sweep_of_one_run_compares_nothing(tmp_path, monkeypatch):
    path = grid_file(tmp_path, "grid: {train.rank: [8]}\n")
    monkeypatch.setattr("spillover.sweep.run", lambda config, out, **_: Result(out, out / "report.html", ()))
    result = sweep(path, tmp_path)
    assert (len(result.runs), result.comparisons, result.page) == (1, (), None)
