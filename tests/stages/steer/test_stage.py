from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.config import CompareConfig, EvaluateConfig, ProbeConfig, SteerConfig
from spillover.core.declared_measure import declare_measure, declared_measure
from spillover.core.errors import ConfigError, RunError
from spillover.core.runs import open_run
from spillover.models.intervention import NULLS, read_intervention
from spillover.models.load import attach_intervention
from spillover.models.random_weights import randomly_initialised
from spillover.models.sentence_states import sentence_states
from spillover.stages.compare.stage import compare_run
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.lens import top_tokens
from spillover.stages.probe.stage import probe
from spillover.stages.probe.state_store import open_states
from spillover.stages.steer import held_out, steer
from spillover.stages.steer.methods import METHODS
from spillover.stages.steer.stage import check_settings
from spillover.stages.train.stage import train
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import load_parallel
from spillover.tasks.wording import load_task
from tests.stages.steer.builders import steer_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(steer_data(tmp_path_factory.mktemp("steer"), items=16))


@pytest.fixture
def few_items_are_enough(monkeypatch):
    monkeypatch.setattr(held_out, "LEAST_ITEMS", 3)


def made(model, data, out, **options):
    own = {"seed": 0} | {key: options.pop(key) for key in ("name", "seed", "compare", "states") if key in options}
    benchmark, config = open_benchmark("sentiment", data=data), SteerConfig(**options)
    return steer(model, benchmark, out=out, config=config, **own)


@pytest.mark.parametrize("method", METHODS)
def test_a_call_writes_an_intervention_and_three_nulls_that_evaluate_takes(method, tiny, data, tmp_path):
    folder = made(tiny, data, tmp_path / "run", method=method)
    assert folder == tmp_path / "run" / "steer" / method
    real = read_intervention(folder)
    assert real.description.languages == ("de", "es")
    assert len(real.description.facts["retrieval"]) == 3
    german = open_benchmark("sentiment", data=data, languages="de", limit=6)
    scores = {}
    for name in (method, *(f"{method}-{null}" for null in NULLS)):
        steered = attach_intervention(tiny, folder.with_name(name))
        evaluation = evaluate(steered, german, out=tmp_path / "run")
        assert evaluation.model.steer == name
        assert (tmp_path / "run" / "evaluate" / name / "sentiment" / "de.parquet").is_file()
        scores[name] = evaluation.scores["de"].logprobs.tobytes()
    scores["base"] = evaluate(tiny, german).scores["de"].logprobs.tobytes()
    assert len(set(scores.values())) == 5


def test_the_vector_at_a_layer_is_what_was_read_there(tiny, data, tmp_path):
    folder = made(tiny, data, tmp_path / "run", method="language-vector", layers=[2])
    text = load_parallel(data, load_task("sentiment"), "train", ["en", "de"])
    states = {
        code: sentence_states(tiny, [row.fields["review"] for row in own]).means[:, 2] for code, own in text.items()
    }
    np.testing.assert_allclose(
        read_intervention(folder).tensors["de"][2], (states["de"] - states["en"]).mean(axis=0), atol=1e-5
    )


def test_a_finished_call_is_not_made_again_and_other_settings_are_refused(tiny, data, tmp_path):
    folder = made(tiny, data, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*") if path.is_file()}
    assert made(tiny, data, tmp_path / "run") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*") if path.is_file()} == before
    with pytest.raises(RunError, match=r"strength: 1.0 → 2.0"):
        made(tiny, data, tmp_path / "run", strength=2.0)
    assert made(tiny, data, tmp_path / "run", strength=2.0, name="twice").name == "twice"


def test_the_same_call_gives_the_same_bytes(tiny, data, tmp_path):
    for run in ("one", "two"):
        made(tiny, data, tmp_path / run, method="incline")
    files = [
        {p.relative_to(tmp_path / run): p.read_bytes() for p in (tmp_path / run / "steer").rglob("*.*") if p.is_file()}
        for run in ("one", "two")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 8


def test_states_of_the_parallel_text_are_computed_once_and_change_nothing(tiny, data, tmp_path, monkeypatch):
    states = []
    made(tiny, data, tmp_path / "shared", method="mean-shift", states=states)
    monkeypatch.setattr("spillover.stages.steer.text_states.text_states", None)
    made(tiny, data, tmp_path / "shared", method="incline", states=states)
    monkeypatch.undo()
    made(tiny, data, tmp_path / "alone", method="incline")
    alone = sorted((tmp_path / "alone" / "steer").rglob("*.*"))
    shared = [tmp_path / "shared" / path.relative_to(tmp_path / "alone") for path in alone]
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in alone]
    stages = open_run(tmp_path / "shared").manifest()["stages"]
    assert stages["steer/mean-shift"]["facts"]["shared_seconds"] == 0
    assert stages["steer/incline"]["facts"]["shared_seconds"] == round(states[0].seconds, 1)


@pytest.mark.usefixtures("few_items_are_enough")
def test_held_out_items_choose_and_are_not_scored(tiny, data, tmp_path):
    folder = made(
        tiny, data, tmp_path / "run", method="language-vector", choose="held-out", strengths=[1.0, 2.0], held_out=0.4
    )
    real, null = read_intervention(folder), read_intervention(folder.with_name("language-vector-random"))
    kept_back = real.description.held_out
    assert null.description.held_out == kept_back
    rows = real.description.facts["candidates"]
    assert [(row["layers"], row["strength"]) for row in rows] == [([1], 1.0), ([1], 2.0)]
    best = max(rows, key=lambda row: row["score"])
    assert (list(real.description.layers), real.description.strength) == (best["layers"], best["strength"])
    benchmark = open_benchmark("sentiment", data=data)
    evaluation = evaluate(attach_intervention(tiny, real), benchmark, out=tmp_path / "run")
    for scores in evaluation.scores.values():
        assert len(scores.example_ids) == 16 - len(kept_back.ids)
        assert not set(scores.example_ids) & set(kept_back.ids)
    assert len(evaluate(tiny, benchmark).scores["de"].example_ids) == 16


@pytest.mark.usefixtures("few_items_are_enough")
def test_held_out_items_choose_by_the_measure_that_the_run_declares(tiny, data, tmp_path):
    options = {"method": "language-vector", "choose": "held-out", "strengths": [1.0, 2.0], "held_out": 0.4}
    by_accuracy, run = CompareConfig(primary="accuracy"), open_run(tmp_path / "run")
    declare_measure(run, by_accuracy)
    facts = read_intervention(made(tiny, data, run.path, **options)).description.facts
    asked = made(tiny, data, tmp_path / "other", compare=by_accuracy, **options)
    assert facts == read_intervention(asked).description.facts
    assert facts["metric"] == "accuracy"
    assert declared_measure(open_run(tmp_path / "other")) == declared_measure(run)
    with pytest.raises(RunError, match=r"made with other settings: compare\.primary: accuracy → calibrated"):
        made(tiny, data, run.path, compare=CompareConfig(primary="calibrated"), **options)
    declare_measure(run, CompareConfig())
    assert declared_measure(run) == declared_measure(open_run(tmp_path / "other"))
    with pytest.raises(RunError, match="has scores already"):
        declare_measure(run, CompareConfig(primary="auroc"))


@pytest.mark.usefixtures("few_items_are_enough")
def test_mean_shift_chooses_pairs_of_layers(tiny, data, tmp_path):
    folder = made(tiny, data, tmp_path / "run", choose="held-out", strengths=[1.0], held_out=0.4, positions="last")
    assert [row["layers"] for row in read_intervention(folder).description.facts["candidates"]] == [[1, 2]]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layers": [3]}, "steer.layers: 3: tiny has hidden states 0 to 2"),
        ({"layers": [2, 1]}, "expected each once, in order"),
        ({"layers": [1, 1]}, "expected each once, in order"),
        ({"layers": [1]}, "mean-shift changes 2"),
        ({"layers": [0, 1, 2]}, "mean-shift changes 2"),
        ({"strength": 0.0}, "steer.strength: 0 changes nothing"),
        ({"choose": "held-out", "strengths": [0.0, 1.0]}, "steer.strength: 0 changes nothing"),
    ],
)
def test_settings_that_cannot_be(config, message, tiny):
    with pytest.raises(ConfigError, match=message):
        check_settings(tiny, SteerConfig(**config))


def test_other_stages_take_a_steered_model_or_refuse_it_in_one_line(tiny, data, tmp_path):
    folder = made(tiny, data, tmp_path / "run", method="language-vector", strength=3.0)
    steered = attach_intervention(tiny, folder)
    with pytest.raises(ConfigError, match="tiny, steered by language-vector cannot be trained"):
        train(steered, [], out=tmp_path / "run")
    with pytest.raises(ConfigError, match="is steered already"):
        made(steered, data, tmp_path / "other")
    with pytest.raises(ConfigError, match="a bare text has none"):
        top_tokens(steered, "good", places=1, top=1)
    benchmark = open_benchmark("sentiment", data=data, languages="en,de", limit=6)
    for model in (tiny, steered):
        evaluate(model, benchmark, out=tmp_path / "run", config=EvaluateConfig())
    run = open_run(tmp_path / "run")
    (comparison,) = compare_run(run, after="language-vector")
    assert "After is steered by language-vector" in str(comparison)


def test_the_probe_reads_changed_states_and_its_random_model_is_not_steered(tiny, data, tmp_path):
    folder = made(tiny, data, tmp_path / "run", method="language-vector", positions="all")
    steered = attach_intervention(tiny, folder)
    assert randomly_initialised(steered, 0).intervention is None
    benchmark = open_benchmark("sentiment", data=data, languages="en,de")
    config = ProbeConfig(items=4, draws=20, random_weights=False)
    found = {}
    for model, name in ((tiny, "base"), (steered, "steered")):
        written = probe(open_run(tmp_path / "run"), model, benchmark, name=name, config=config)
        found[name] = open_states(written / "states").read("mean", 1)
    moved = found["steered"]["de"] - found["base"]["de"]
    vector = read_intervention(folder).tensors["de"][1]
    np.testing.assert_allclose(moved, np.broadcast_to(vector, moved.shape), atol=0.01)
    np.testing.assert_array_equal(found["steered"]["en"], found["base"]["en"])
    assert torch.equal(steered.intervention.tensors["de"][1], vector)


def test_an_intervention_of_another_precision_or_model_does_not_resume(tiny, data, tmp_path):
    made(tiny, data, tmp_path / "run")
    other = replace(tiny, ref=replace(tiny.ref, fingerprint="other"))
    with pytest.raises(RunError, match="model: tiny-0 → other"):
        made(other, data, tmp_path / "run")
