from __future__ import annotations

import json
import shutil
import sys

import pandas as pd
import pytest

from spillover.core.config import load_config
from spillover.core.errors import ConfigError, ModelError, RunError
from spillover.core.runs import open_run
from spillover.models.load import attach_adapter, load_model
from spillover.models.translators.causal import CausalTranslator
from spillover.models.translators.command import CommandTranslator
from spillover.pipeline import open_benchmarks
from spillover.stages.alternatives.result_files import read_alternatives
from spillover.stages.alternatives.stage import alternatives, rows_of_config
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.steer import held_out
from tests.builders import KIND_DATA, kind_task, save_adapter, save_model
from tests.stages.steer.builders import steer_data

ROWS = ["bound", "shots:en", "steer:language-vector", "layers:0", "tuned"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("alternatives")
    model = save_model(root / "model")
    run = open_run(root / "trained")
    run.update(stages={"build": {"facts": {"languages": ["de"]}}, "train": {"seconds": 12.0}})
    save_adapter(root / "trained" / "train" / "adapter", model)
    save_adapter(root / "placebo", model, r=2)
    steer_data(root / "data", ("en", "de"), items=20)
    return root


def config_of(place, rows=ROWS, **changes):
    return load_config(
        model__name=str(place / "model"), model__dtype="float32", model__device="cpu", data=str(place / "data"),
        evaluate__content_free=[], alternatives__rows=rows, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def config(place):
    adapter = str(place / "trained" / "train" / "adapter")
    return config_of(place, alternatives__adapter=adapter, alternatives__placebos={"shuffled": str(place / "placebo")})


@pytest.fixture(scope="module")
def base(config):
    return load_model(**config.model.model_dump())


def made(base, config, out):
    (result,) = alternatives(base, open_benchmarks(config), out=out, config=config)
    return result


@pytest.fixture(scope="module")
def finished(place, base, config):
    return made(base, config, place / "run")


def test_every_row_and_null_is_an_ordinary_evaluation_of_the_run_made_once(finished, place):
    evaluated = {folder.model for folder in open_run(place / "run").evaluations() if folder.finished}
    assert evaluated == {
        "base", "shots-en", "shots-en-unrelated", "language-vector", "language-vector-random",
        "language-vector-shuffled", "tuned-0", "shuffled-0", "tuned", "shuffled",
    }  # fmt: skip
    assert list(finished.of_group("all")["row"]) == [
        "base", "calibrated", "bound", "shots:en", "shots:en+unrelated", "steer:language-vector",
        "steer:language-vector random", "steer:language-vector shuffled", "layers:0", "shuffled layers:0", "tuned",
        "shuffled",
    ]  # fmt: skip
    assert finished.held_out == 0
    assert set(finished.rows["n"]) == {20}


def test_costs_settings_and_languages_come_from_the_runs(finished):
    rows = finished.of_group("all").set_index("row")
    assert rows["tokens"]["calibrated"] == rows["tokens"]["bound"] == 0
    assert rows["tokens"]["base"] > 0
    assert rows["preparation_seconds"]["tuned"] == 12
    assert rows["training"].to_dict()["layers:0"]
    assert not rows["training"]["steer:language-vector"]
    assert pd.isna(rows["preparation_seconds"]["shuffled"])
    assert rows["setting"]["shots:en"] == "shots en"
    assert rows["setting"]["layers:0"] == "layers 0"
    assert rows["setting"]["steer:language-vector"] == "layers 1, strength 1, by rule"
    assert set(finished.rows["group"]) == {"all", "seen"}


def test_what_a_method_took_over_from_another_counts_in_its_costs(place, base, tmp_path):
    config = config_of(place, ["steer:language-vector", "steer:incline"])
    rows = made(base, config, tmp_path / "run").of_group("all").set_index("row")
    stages = open_run(tmp_path / "run").manifest()["stages"]
    recorded = stages["steer/incline"]
    stages["steer/incline"] = recorded | {"facts": recorded["facts"] | {"shared_seconds": 100.0}}
    open_run(tmp_path / "run").update(stages=stages)
    again = made(base, config, tmp_path / "run").of_group("all").set_index("row")
    own = again["preparation_seconds"]["steer:incline"] - recorded["seconds"]
    assert own == pytest.approx(100)
    assert again["preparation_seconds"]["steer:language-vector"] == rows["preparation_seconds"]["steer:language-vector"]


def test_again_computes_no_score_again_and_gives_the_same_table(finished, place, base, config, monkeypatch):
    tables = {path: path.stat().st_mtime_ns for path in (place / "run" / "evaluate").rglob("*.parquet")}
    again = made(base, config, place / "run")
    assert {path: path.stat().st_mtime_ns for path in tables} == tables
    pd.testing.assert_frame_equal(again.rows, finished.rows)
    (read,) = read_alternatives(place / "run" / "alternatives")
    assert read.verdict == finished.verdict
    manifest = json.loads((place / "run" / "run.json").read_text())
    assert manifest["primary"] == {"primary": "auto", "fallback": None}
    assert finished.chosen == "declared before scoring"


def test_a_killed_one_resumes_to_the_same_table(finished, place, base, config, tmp_path, monkeypatch):
    shutil.copytree(place / "run", tmp_path / "run")
    for part in ("alternatives", "evaluate/tuned", "evaluate/shuffled", "steer/language-vector"):
        shutil.rmtree(tmp_path / "run" / part)
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text())
    gone = ("alternatives", "evaluate/tuned/sentiment", "evaluate/shuffled/sentiment", "steer/language-vector")
    manifest["stages"] = {name: stage for name, stage in manifest["stages"].items() if name not in gone}
    path.write_text(json.dumps(manifest))
    again = made(base, config, tmp_path / "run")
    timed = ["seconds", "preparation_seconds"]
    pd.testing.assert_frame_equal(again.rows.drop(columns=timed), finished.rows.drop(columns=timed))


def test_the_runs_own_tuned_model_is_taken_as_it_was_evaluated(place, base, tmp_path):
    config = config_of(place, ["tuned"])
    shutil.copytree(place / "trained", tmp_path / "trained")
    (benchmark,) = open_benchmarks(config)
    tuned = attach_adapter(base, str(tmp_path / "trained" / "train" / "adapter"))
    evaluation = evaluate(tuned, benchmark, out=tmp_path / "trained", name="tuned", config=config.evaluate)
    table = tmp_path / "trained" / "evaluate" / "tuned" / "sentiment" / "en.parquet"
    before = table.read_bytes()
    # Merged weights have another fingerprint than the adapter, and the same name in the run.
    result = made(base, config, tmp_path / "trained")
    assert table.read_bytes() == before
    assert evaluation.key
    assert list(result.of_group("all")["row"]) == ["base", "calibrated", "tuned"]
    other = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"shots": "en"})})
    shutil.rmtree(tmp_path / "trained" / "evaluate" / "base")
    manifest = json.loads((tmp_path / "trained" / "run.json").read_text())
    del manifest["stages"]["evaluate/base/sentiment"]
    (tmp_path / "trained" / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="tuned was evaluated with other prompts or rules than the base"):
        made(base, other, tmp_path / "trained")


def test_settings_are_chosen_on_items_that_no_row_is_scored_on(place, base, tmp_path, monkeypatch):
    monkeypatch.setattr(held_out, "LEAST_ITEMS", 3)
    config = config_of(place, ["steer:language-vector"], steer__choose="held-out", steer__strengths=[1.0])
    result = made(base, config, tmp_path / "run")
    (benchmark,) = open_benchmarks(config)
    ids = held_out.held_out_ids(benchmark, config.steer.held_out)
    assert result.held_out == len(ids) > 2
    assert set(result.rows["n"]) == {20 - len(ids)}
    assert "by held-out items" in result.of_group("all").set_index("row")["setting"]["steer:language-vector"]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (["tuned"], {}, "alternatives.rows: tuned: no adapter in "),
        (["layers:outer"], {"alternatives__adapter": "nowhere"}, "layers:outer: no adapter in nowhere"),
        (["nonsense"], {}, "alternatives.rows: nonsense: unknown row"),
        (["bound"], {"limit": 19}, "sentiment in en: 19 items to score, at least 20 are needed"),
        (["steer:incline"], {"steer__choose": "held-out"}, "at least 20 are needed"),
        (["bound"], {"model__adapter": "a"}, "is tuned or steered already"),
        (["bound"], {"model__server": ["http://127.0.0.1:9"]}, "alternatives: needs the model's weights"),
        (["self-translate"], {"model__server": ["http://127.0.0.1:9"]}, "alternatives: needs the model's weights"),
    ],
)
def test_bad_input_is_one_line_before_a_model_is_loaded(place, tmp_path, rows, changes, message):
    config = config_of(place, rows, **changes)
    with pytest.raises(ConfigError) as error:
        rows_of_config(config, open_benchmarks(config), tmp_path / "run")
    assert message in error.value.message
    assert "\n" not in error.value.message
    assert error.value.hint
    assert not (tmp_path / "run").exists()


def test_a_run_that_trains_has_its_adapter_later(place, tmp_path):
    config = config_of(place, ["tuned"])
    rows = rows_of_config(config, open_benchmarks(config), tmp_path / "run", trains=True)
    assert rows[-1].adapter == str(tmp_path / "run" / "train" / "adapter")


def test_an_intervention_of_another_base_is_refused(finished, place, config):
    save_model(place / "other", seed=3)
    other = load_model(str(place / "other"), dtype="float32", device="cpu")
    with pytest.raises(RunError, match="made with other settings: model"):
        made(other, config_of(place, ["steer:language-vector"]), place / "run")


@pytest.mark.parametrize(
    ("row", "error", "message"), [("layers:7", ConfigError, "the model has 2 layers"), ("tuned", ModelError, "adapter")]
)
def test_an_adapter_or_layers_that_do_not_fit_are_found_before_anything_is_scored(
    place, base, tmp_path, row, error, message
):
    shutil.copytree(place / "placebo", tmp_path / "adapter")
    if row == "tuned":
        (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"damaged")
    config = config_of(place, ["shots:en", row], alternatives__adapter=str(tmp_path / "adapter"))
    with pytest.raises(error, match=message):
        made(base, config, tmp_path / "run")
    assert not (tmp_path / "run" / "evaluate").exists()


TRANSLATOR = """
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"translation": row["text"].replace("in de", "in en")}))
"""


@pytest.fixture(scope="module")
def translating(place):
    (place / "translator.py").write_text(TRANSLATOR)
    translator = {"command": [sys.executable, str(place / "translator.py")], "max_new_tokens": 4}
    rows = ["self-translate", "translate-test"]
    return config_of(place, rows, alternatives__translator=translator, limit=20)


def test_translated_items_are_rows_beside_their_nulls_and_the_bound(place, base, translating):
    result = made(base, translating, place / "translated")
    rows = result.of_group("all").set_index("row")
    assert list(rows.index) == [
        "base", "calibrated", "bound", "self-translate", "self-translate shuffled", "translate-test",
        "translate-test shuffled",
    ]  # fmt: skip
    metrics = ["accuracy", "calibrated_accuracy", "auroc"]
    # This translator finds the very text of the English item: what it gives is the bound.
    assert rows.loc["translate-test", metrics].tolist() == pytest.approx(rows.loc["bound", metrics].tolist())
    assert rows.loc["translate-test shuffled", metrics].tolist() != rows.loc["bound", metrics].tolist()
    assert set(result.rows["n"]) == {20}
    assert rows["setting"]["translate-test"].endswith("), chrF 100.0")
    assert rows["setting"]["translate-test shuffled"].endswith("), of other items")
    assert pd.isna(rows["tokens"]["translate-test"])
    evaluated = open_run(place / "translated").manifest()["stages"]
    alone = evaluated["evaluate/self-translate/sentiment"]["facts"]["computed_tokens"]
    assert rows["tokens"]["self-translate"] > alone
    assert rows["tokens"]["self-translate shuffled"] <= alone
    quality = result.translations.set_index("row")
    assert quality["chrf"]["translate-test"] == pytest.approx(100)
    assert quality["chrf"]["self-translate"] < 50
    assert quality["chrf_others"]["translate-test"] < 100
    assert quality["language"].tolist() == ["de", "de"]
    assert quality["cut"]["self-translate"] > 0 == quality["cut"]["translate-test"]
    held_against = result.contrasts.groupby("row")["against"].unique()
    assert held_against["translate-test"].tolist() == ["translate-test shuffled"]
    (read,) = read_alternatives(place / "translated" / "alternatives")
    pd.testing.assert_frame_equal(read.translations, result.translations)


def test_translating_again_is_not_needed(place, base, translating, monkeypatch):
    first = made(base, translating, place / "translated")
    monkeypatch.setattr(CausalTranslator, "translate", None)
    monkeypatch.setattr(CommandTranslator, "translate", None)
    again = made(base, translating, place / "translated")
    pd.testing.assert_frame_equal(again.rows, first.rows)


def test_a_row_without_a_translator_stands_in_the_table_with_the_reason(place, base, tmp_path):
    result = made(base, config_of(place, ["translate-test"]), tmp_path / "run")
    row = result.of_group("all").set_index("row").loc["translate-test"]
    assert row["setting"].startswith("needs a translator: one of seq2seq, server, causal, command")
    assert pd.isna(row["auroc"])
    assert row["n"] == 0
    assert any(note.startswith("translate-test has no numbers: needs a translator") for note in result.notes)
    assert "translate-test shuffled" not in set(result.rows["row"])
    assert result.translations.empty
    (read,) = read_alternatives(tmp_path / "run" / "alternatives")
    assert read.notes == result.notes


def test_a_budget_decides_how_many_items_are_translated(place, base, tmp_path):
    steer_data(tmp_path / "data", ("en", "de"), items=24)
    config = config_of(
        place, ["self-translate"], evaluate__budget_minutes=1.0, alternatives__translator={"max_new_tokens": 2}
    )
    config = config.model_copy(update={"data": str(tmp_path / "data")})
    open_run(tmp_path / "run").update(budget={"sentiment": 20})
    result = made(base, config, tmp_path / "run")
    assert set(result.rows["n"]) == {20}
    assert result.translations["items"].tolist() == [20]


def test_pairs_are_a_row_with_a_reason_too(place, base, tmp_path, monkeypatch):
    monkeypatch.setattr(held_out, "LEAST_ITEMS", 2)
    config = config_of(place, ["self-translate"])
    config = config.model_copy(update={"tasks": [kind_task("agreement")], "data": KIND_DATA})
    result = made(base, config, tmp_path / "run")
    row = result.of_group("all").set_index("row").loc["self-translate"]
    assert row["setting"] == "a pair is judged by its own words, which a translation does not keep"


def test_a_language_without_parallel_text_is_said_before_anything_is_scored(place, base, tmp_path):
    config = config_of(place, ["steer:language-vector"], steer__languages=["de"])
    steer_data(tmp_path / "data", ("en", "de", "es"), items=20)
    config = config.model_copy(update={"data": str(tmp_path / "data")})
    with pytest.raises(
        ConfigError, match="steer:language-vector: no parallel text in es, which sentiment is scored in"
    ):
        made(base, config, tmp_path / "run")
    assert not (tmp_path / "run" / "evaluate").exists()
