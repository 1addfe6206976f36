"""The four tables of languages, on tiny models."""

from __future__ import annotations

import pandas as pd
import pytest

from spillover.core.config import ProbeConfig
from spillover.core.errors import DataError
from spillover.core.runs import open_run
from spillover.models.local import LocalEngine
from spillover.stages.probe.alignment_tables import MEASURES
from spillover.stages.probe.language_tables import language_pairs
from spillover.stages.probe.stage import probe
from spillover.tasks.benchmark import open_benchmark
from tests.builders import make_model, small_data

TABLES = ["alignment", "alignment_items", "identity", "neurons"]


@pytest.fixture
def run_probe(tmp_path):
    data = small_data(tmp_path / "data", items=8)
    run = open_run(tmp_path / "run")

    def run_probe(name, model, **config):
        config = ProbeConfig(**{"items": 8, "draws": 20} | config)
        return probe(run, model, open_benchmark("sentiment", data=str(data)), name=name, config=config)

    return run_probe


def test_every_table_has_its_rows_and_its_nulls(run_probe, tiny):
    tables = {name: pd.read_parquet(run_probe("base", tiny) / f"{name}.parquet") for name in TABLES}
    layers, poolings = 3, 2
    assert len(tables["alignment"]) == 2 * layers * poolings * len(MEASURES)
    assert set(zip(tables["alignment"]["language"], tables["alignment"]["other"], strict=True)) == {
        ("de", "en"),
        ("es", "en"),
    }
    assert len(tables["alignment_items"]) == 2 * layers * poolings * 8
    assert len(tables["identity"]) == layers * poolings * (2 + 3)
    assert len(tables["neurons"]) == (3 + 1) * (layers - 1)
    mexa = tables["alignment"].query("measure == 'mexa' and layer == 2")
    assert mexa[["shuffled", "length", "random_weights"]].notna().all(axis=None)


def test_the_random_models_states_are_computed_once_for_all_models_of_a_run(run_probe, tiny, monkeypatch):
    passes = []
    score = LocalEngine.score
    monkeypatch.setattr(
        LocalEngine, "score", lambda self, *a, **k: passes.append(self.model.ref.name) or score(self, *a, **k)
    )
    run_probe("base", tiny)
    run_probe("tuned", make_model(seed=1))
    assert passes.count("tiny, random weights") == 3
    assert passes.count("tiny") == 6


def test_without_random_weights_that_null_is_nan(run_probe, tiny):
    table = pd.read_parquet(run_probe("base", tiny, random_weights=False) / "alignment.parquet")
    assert table["random_weights"].isna().all()
    assert table.query("measure == 'mexa' and layer == 2")["length"].notna().all()


def test_all_pairs_hold_each_pair_once(run_probe, tiny):
    table = pd.read_parquet(run_probe("base", tiny, pairs="all") / "alignment.parquet")
    assert len(table[["language", "other"]].drop_duplicates()) == 3


def test_too_few_items_leave_out_alignment_and_identity_but_not_neurons(run_probe, tiny, tmp_path):
    folder = run_probe("base", tiny, items=4)
    assert sorted(path.stem for path in folder.glob("*.parquet") if path.stem in TABLES) == ["neurons"]
    facts = open_run(tmp_path / "run").manifest()["stages"]["probe/base"]["facts"]
    assert facts["no alignment"] == "alignment needs at least 6 items per language, there are 4"
    assert facts["no identity"] == "language identity needs at least 2 languages and 5 items, there are 3 and 4"
    assert "no neurons" not in facts


def test_each_table_is_missing_for_its_own_reason_only(run_probe, tiny, caplog):
    folder = run_probe("base", tiny, languages=["de"])
    assert not (folder / "alignment.parquet").exists()
    assert "alignment is left out: alignment needs en and another language, there is de" in caplog.text
    assert not (folder / "identity.parquet").exists()
    assert "identity is left out" in caplog.text
    assert len(pd.read_parquet(folder / "neurons.parquet")) == (1 + 1) * 2, "neurons need no second language"


def test_pairs_are_with_the_reference_language_or_every_two_once():
    assert language_pairs(("de", "en", "es"), "reference") == [("de", "en"), ("es", "en")]
    assert language_pairs(("de", "en", "es"), "all") == [("de", "en"), ("es", "en"), ("es", "de")]
    assert language_pairs(("de", "es"), "all") == [("es", "de")]
    with pytest.raises(DataError, match="alignment needs en and another language, there is de, es"):
        language_pairs(("de", "es"), "reference")
