"""Every stage on a tiny model: one config in, one folder out, and again = go on."""

from __future__ import annotations

import json

import pytest

from spillover.core.config import load_config
from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.runs import open_run
from spillover.pipeline import open_benchmarks, run
from spillover.stages.alternatives.result_files import read_alternatives
from spillover.stages.evaluate.score_tables import read_scores
from spillover.stages.steer import held_out
from spillover.tasks.benchmark import benchmark_of
from tests.builders import save_model, small_data, write_rows

STAGES = ["audit", "build", "train", "merge", "evaluate/base/sentiment", "evaluate/tuned/sentiment", "probe/base", "probe/tuned", "compare"]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipeline")
    save_model(root / "model")
    small_data(root / "data")
    return root


def config_of(place, **changes):
    return load_config(
        model__name=str(place / "model"), model__dtype="float32", model__device="cpu", data=str(place / "data"),
        build__sources=["de"], train__epochs=4, train__batch=2, train__learning_rate=1e-2,
        train__validation=0.0, probe__items=3, compare__draws=50, name="tiny", **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(place):
    return run(config_of(place), place / "run")


def tables(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture
def without_page(monkeypatch):
    """Runs of which the tables alone are looked at have no page, a third of a tiny run's time."""
    monkeypatch.setattr("spillover.pipeline.report", lambda folder, **_: folder / "report.html")


def test_the_folder_is_the_one_the_readme_shows(finished):
    there = {str(path.relative_to(finished.path)) for path in finished.path.rglob("*") if path.is_file()}
    wanted = {
        "run.json", "config.yaml", "log.jsonl", "report.html", "audit/findings.json", "build/pairs.jsonl",
        "train/steps.jsonl", "train/adapter/adapter_model.safetensors", "train/merged/model.safetensors",
        "evaluate/base/sentiment/en.parquet", "evaluate/tuned/sentiment/es.parquet", "compare/languages.parquet",
        "compare/groups.parquet", "compare/verdict.json", "probe/base/lens.parquet", "probe/base/lens_items.parquet", "probe/base/words.json",
        "probe/base/states/index.json", "probe/tuned/pca.parquet",
    }  # fmt: skip
    assert wanted <= there
    page = finished.page.read_text(encoding="utf-8")
    assert "built-in" not in page
    assert page.count('class="plot" data-chart=') == 9
    assert not [name for name in there if name.endswith((".partial", ".pkl", ".pt", ".bin"))]


def test_manifest_has_every_stage_and_what_it_was_made_from(finished):
    manifest = json.loads((finished.path / "run.json").read_text())
    assert list(manifest["stages"]) == STAGES
    assert {stage["state"] for stage in manifest["stages"].values()} == {"done"}
    settings = manifest["stages"]["evaluate/base/sentiment"]["settings"]
    assert {"model", "wording", "data", "labels", "shots", "rule", "dtype"} <= set(settings)


def test_the_primary_measure_is_declared_before_anything_is_scored(finished):
    assert json.loads((finished.path / "run.json").read_text())["primary"] == {"primary": "auto", "fallback": None}
    events = [json.loads(line)["event"] for line in (finished.path / "log.jsonl").read_text().splitlines()]
    assert events[0] == "declared"
    assert (finished.comparisons[0].primary, finished.comparisons[0].chosen) == ("auroc", "declared before scoring")


def test_seen_languages_come_from_the_pairs(finished):
    assert finished.comparisons[0].seen == ("de",)
    assert finished.comparisons[0].languages.set_index("language")["seen"].to_dict() == {
        "en": False,
        "de": True,
        "es": False,
    }


def test_again_computes_nothing_and_changes_no_table(place, finished, monkeypatch):
    from spillover.models.local import LocalEngine

    before = tables(finished.path)
    monkeypatch.setattr(LocalEngine, "score", lambda *_, **__: pytest.fail("scored again"))
    again = run(config_of(place), finished.path)
    assert tables(finished.path) == before
    assert str(again.comparisons[0]) == str(finished.comparisons[0])


@pytest.mark.usefixtures("without_page")
def test_the_resolved_config_repeats_the_run(place, finished, tmp_path):
    run(load_config(finished.path / "config.yaml"), tmp_path / "again")
    assert tables(tmp_path / "again") == tables(finished.path)


@pytest.mark.usefixtures("without_page")
def test_killed_at_each_stage_and_resumed_equals_uninterrupted(place, finished, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    stages = ["stages.train.stage.train", "stages.evaluate.stage.evaluate", "pipeline.compare_run", "pipeline.report"]
    for stage in stages:
        with monkeypatch.context() as patch:
            patch.setattr(f"spillover.{stage}", killed)
            with pytest.raises(KeyboardInterrupt):
                run(config_of(place), tmp_path / "run")
    run(config_of(place), tmp_path / "run")
    assert tables(tmp_path / "run") == tables(finished.path)


def test_a_config_with_rows_makes_the_table_of_alternatives_with_the_runs_own_tuned_model(place, tmp_path, monkeypatch):
    monkeypatch.setattr(held_out, "LEAST_ITEMS", 2)
    config = config_of(place, alternatives__rows=["tuned", "shots:en"], probe__random_weights=False)
    result = run(config, tmp_path / "run")
    (free,) = read_alternatives(result.path / "alternatives")
    assert [table.verdict for table in result.alternatives] == [free.verdict]
    assert list(free.of_group("unseen")["row"]) == ["base", "calibrated", "tuned", "shots:en", "shots:en+unrelated"]
    evaluated = {folder.model for folder in open_run(result.path).evaluations()}
    assert evaluated == {"base", "tuned", "shots-en", "shots-en-unrelated"}
    assert '<section id="alternatives">' in result.page.read_text(encoding="utf-8")


def test_a_row_that_cannot_be_is_found_before_anything_is_written(place, tmp_path):
    with pytest.raises(ConfigError, match="6 items to score, at least 20 are needed"):
        run(config_of(place, alternatives__rows=["tuned"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_config_does_not_touch_the_folder(place, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    with pytest.raises(RunError, match="belongs to another config"):
        run(config_of(place, seed=1), finished.path)
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["sentimnet"]}, "'sentimnet'"),
        ({"languages": ["en", "fr"]}, "'fr' is not available"),
        ({"languages": ["english"]}, "'english' is not a BCP-47 code"),
        ({"evaluate__labels": "french"}, "label set 'french'"),
        ({"data": "nowhere"}, "'nowhere' does not exist"),
    ],
)
def test_a_mistake_writes_nothing(place, tmp_path, changes, message):
    config = config_of(place).model_copy(update={key: value for key, value in changes.items() if "__" not in key})
    if "evaluate__labels" in changes:
        config = config_of(place, **changes)
    with pytest.raises((ConfigError, DataError), match=message):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_errors_in_the_data_stop_the_run_unless_told_not_to(place, tmp_path):
    data = small_data(tmp_path / "data", ("en", "de", "es", "fr"))
    path = data / "sentiment" / "test" / "de.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    swap = {"positive": "negative", "negative": "positive"}
    write_rows(path, [row | {"label": swap[row["label"]]} for row in rows])
    config = config_of(place, train__keep_merged=False, probe__random_weights=False)
    config = config.model_copy(update={"data": str(data)})
    with pytest.raises(DataError, match="sentiment de: classes are exchanged"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "train").exists()
    loose = load_config(audit__stop=False, evaluate__disagreeing_labels="keep")
    config = config.model_copy(update={"audit": loose.audit, "evaluate": loose.evaluate})
    again = run(config, tmp_path / "run")
    assert again.page.exists()
    assert load_config(again.path / "config.yaml") == config, "the folder that the audit stopped takes what was told"


@pytest.mark.usefixtures("without_page")
def test_the_bases_scores_are_taken_over_from_a_run_that_evaluates_the_same(place, finished, tmp_path, monkeypatch):
    from spillover.models.local import LocalEngine

    score, adapters = LocalEngine.score, []

    def counting(self, plan, skip=frozenset(), *, states=False):
        if not states:
            adapters.append(self.model.ref.adapter)
        return score(self, plan, skip, states=states)

    monkeypatch.setattr(LocalEngine, "score", counting)
    config = config_of(place)
    train = config.train.model_copy(update={"learning_rate": 3e-3, "keep_merged": False})
    run(config.model_copy(update={"train": train}), tmp_path / "again", other_runs=[finished.path])
    assert adapters
    assert all(adapters), "the base is not scored again"
    mine, theirs = (
        {p.name: p.read_bytes() for p in (r / "evaluate" / "base").glob("*/*")}
        for r in (tmp_path / "again", finished.path)
    )
    assert mine == theirs


@pytest.mark.usefixtures("without_page")
def test_scores_of_other_items_are_not_taken_over(place, finished, tmp_path):
    config = config_of(place).model_copy(update={"limit": 4})
    run(config, tmp_path / "fewer", other_runs=[finished.path])
    one = next((tmp_path / "fewer" / "evaluate" / "base").glob("*/*.parquet"))
    assert len(read_scores(one)[0].example_ids) == 4


def test_all_languages_are_the_same_in_run_and_in_evaluate(tmp_path, monkeypatch, caplog):
    """A language that has data and no wording is left out of both with one line, and refused by both when named."""
    data = small_data(tmp_path / "data", items=12)
    test = data / "sentiment" / "test"
    (test / "tlh.jsonl").write_bytes((test / "en.jsonl").read_bytes())
    config = load_config(data=str(data), build__sources=["de"])
    with caplog.at_level("INFO"):
        benchmark = open_benchmarks(config)[0]
    assert "left out, as the task has no wording for them: tlh" in caplog.text
    assert benchmark.languages == benchmark_of(config).languages == ("en", "de", "es")
    named = config.model_copy(update={"languages": ["en", "tlh"]})
    for opened in (open_benchmarks, benchmark_of):
        with pytest.raises(ConfigError, match="no wording for tlh"):
            opened(named)
