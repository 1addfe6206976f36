"""The probe stage on tiny models: what it writes, and when it computes."""

from __future__ import annotations

import pandas as pd
import pytest

from spillover.core.errors import ConfigError
from spillover.core.files import read_json
from spillover.core.runs import open_run
from spillover.models.local import LocalEngine
from tests.builders import small_data
from tests.stages.probe.builders import run_probe


def test_the_stage_writes_tables_once(tiny, tmp_path, monkeypatch):
    data = str(small_data(tmp_path / "data"))
    run = open_run(tmp_path / "run")
    folder = run_probe(run, tiny, data)
    tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    assert set(tables["pca"]["pooling"]) == {"last", "mean", "all", "weighted"}
    assert len(tables["pca"]) == 4 * 3 * 3 * 4
    assert len(tables["pca_pairs"]) == 4 * 3 * 3
    assert read_json(folder / "words.json")["de"]["native"]["positive"]["word"]
    before = {path: path.read_bytes() for path in folder.glob("*.parquet")}
    monkeypatch.setattr(LocalEngine, "score", lambda *_, **__: pytest.fail("computed again"))
    run_probe(run, tiny, data)
    assert {path: path.read_bytes() for path in folder.glob("*.parquet")} == before


def test_a_layer_that_does_not_exist_is_refused_before_anything_is_written(tiny, tmp_path):
    run = open_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="layer 3 is not available"):
        run_probe(run, tiny, "demo", layers=[1, 3])
    assert not (tmp_path / "run").exists()


def test_some_layers_are_kept_and_the_lens_reads_all(tiny, tmp_path):
    data = str(small_data(tmp_path / "data"))
    folder = run_probe(open_run(tmp_path / "run"), tiny, data, layers=[2, 1])
    assert set(pd.read_parquet(folder / "pca.parquet")["layer"]) == {1, 2}
    assert set(pd.read_parquet(folder / "lens.parquet")["layer"]) == {0, 1, 2}
