"""States on disk: what is read is what was pooled, a kill loses a batch, and another model's are refused."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.errors import ConfigError, DataError, ModelError, RunError
from spillover.core.files import read_json, write_json
from spillover.models.local import LocalEngine
from spillover.stages.probe.state_store import POOLINGS, collect, open_states, to_float16

LANGUAGES = ("en", "th")


@pytest.fixture
def plans(tiny, demo_prompts):
    engine = LocalEngine(tiny, batch_tokens=256)
    return engine, {code: engine.plan(demo_prompts("sentiment", code, limit=6)) for code in LANGUAGES}


def save(plans, folder, **options):
    engine, by_language = plans
    return collect(engine, by_language, folder, key="k", model="tiny-0", task="sentiment", layers=range(3), **options)


def test_reading_gives_what_was_pooled_in_the_order_of_the_items(plans, tmp_path):
    saved = save(plans, tmp_path)
    engine, by_language = plans
    assert len(saved.chunks["th"]) > 1
    assert saved.languages == LANGUAGES
    assert saved.example_ids == tuple(prompt.example_id for prompt in by_language["en"].prompts)
    for code, plan in by_language.items():
        for batch in engine.score(plan, states=True):
            for pooling in POOLINGS:
                for layer in range(3):
                    read = saved.read(pooling, layer)[code][list(batch.index)]
                    np.testing.assert_allclose(read, getattr(batch.states, pooling)[:, layer], rtol=1e-3, atol=1e-5)
        assert saved.extra("tokens")[code].tolist() == [item.context for item in plan.items]
        assert saved.extra("own_tokens")[code].tolist() == [len(item.body) for item in plan.items]
    parallel = saved.parallel(["mean", "last"])
    assert list(parallel)[:4] == [("mean", 0), ("mean", 1), ("mean", 2), ("last", 0)]
    assert parallel.array("mean", 1).shape == (2, 6, 32)
    assert parallel.length_matrix.tolist() == [saved.extra("own_tokens")[code].tolist() for code in LANGUAGES]


def test_a_kill_loses_at_most_the_batch_in_flight(plans, tmp_path, monkeypatch):
    whole = save(plans, tmp_path / "whole")
    count = 0

    def die(code, plan, batch):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        save(plans, tmp_path / "killed", measure=die)
    with pytest.raises(RunError, match="unfinished in"):
        open_states(tmp_path / "killed")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*.safetensors")}
    assert len(before) == 2
    resumed = save(plans, tmp_path / "killed")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert not list(tmp_path.rglob("*.partial"))
    for pooling in POOLINGS:
        for code, states in whole.read(pooling, 2).items():
            assert resumed.read(pooling, 2)[code].tobytes() == states.tobytes()


def test_states_of_another_key_are_computed_again(plans, tmp_path):
    save(plans, tmp_path)
    engine, by_language = plans
    few = {"en": by_language["en"]}
    saved = collect(engine, few, tmp_path, key="other", model="tiny-0", task="sentiment", layers=[0, 2])
    assert saved.languages == ("en",)
    assert saved.layers == (0, 2)
    assert not list(tmp_path.glob("th-*"))
    with pytest.raises(ConfigError, match="layer 1 is not available"):
        saved.read("last", 1)
    with pytest.raises(ConfigError, match="pooling 'first'"):
        saved.read("first", 0)


def test_missing_states_and_those_of_other_models_or_items_are_refused(plans, tmp_path):
    with pytest.raises(RunError, match="no hidden states found"):
        open_states(tmp_path)
    save(plans, tmp_path)
    with pytest.raises(RunError, match="states of the model tiny-0, not of tiny-1"):
        open_states(tmp_path, fingerprint="tiny-1")
    index = read_json(tmp_path / "index.json")
    index["example_ids"]["th"][0] = "another"
    write_json(tmp_path / "index.json", index)
    with pytest.raises(DataError, match="th has other items than en"):
        open_states(tmp_path)


def test_an_engine_without_states_is_refused(plans, tmp_path):
    class WithoutStates:
        def score(self, plan, skip=frozenset(), *, states=False):
            return plans[0].score(plan, skip)

    with pytest.raises(ModelError, match="WithoutStates gives no hidden states"):
        save((WithoutStates(), plans[1]), tmp_path)


def test_values_beyond_float16_are_scaled_and_others_unchanged():
    states = np.array([[[1.0, 0.1]], [[300_000.0, 1.0]], [[0.0, 0.0]]], dtype=np.float32)
    half, scale = to_float16(states)
    assert scale.tolist() == [1.0, 8.0, 1.0]
    assert np.isfinite(half).all()
    np.testing.assert_allclose(half.astype(np.float32) * scale[:, None, None], states, rtol=1e-3)
