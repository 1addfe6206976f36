from __future__ import annotations

import json

import numpy as np
import pytest

from spillover.cli import main
from spillover.cli.alternatives import print_alternatives
from spillover.core.files import write_yaml
from spillover.stages.alternatives.table import alternatives_of
from tests.builders import save_model, small_data
from tests.stages.alternatives.builders import scored_rows


def test_the_tables_fit_80_columns_and_show_each_row_beside_its_best_null(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    gains = {"steer_language_vector": 0.1, "steer_language_vector_null": 0.0, "shots": 0.3, "tuned": 1.0}
    print_alternatives(alternatives_of(scored_rows(np.random.default_rng(0), n=60, **gains), seen=["de"]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    (vector,) = [line for line in lines if line.startswith("steer_language_vector ")][:1]
    assert vector.split()[-1] != "–"
    assert not any(line.startswith("steer_language_vector_null") for line in lines)
    assert [line for line in lines if line.startswith("sentiment, ")][1].startswith("sentiment, seen: AUROC")


def test_a_config_becomes_a_table_or_json(tmp_path, capsys):
    save_model(tmp_path / "model")
    small_data(tmp_path / "data", ("en", "de"), items=20)
    config = {
        "name": "free", "data": str(tmp_path / "data"), "evaluate": {"content_free": []},
        "model": {"name": str(tmp_path / "model"), "dtype": "float32", "device": "cpu"},
        "alternatives": {"rows": ["bound"]},
    }  # fmt: skip
    write_yaml(tmp_path / "free.yaml", config)
    with pytest.raises(SystemExit) as ended:
        main(["alternatives", str(tmp_path / "free.yaml"), "--out", str(tmp_path / "run"), "--json"])
    assert not ended.value.code
    (result,) = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in result["rows"]] == ["base", "calibrated", "bound"]
    assert result["answer"] == "no free alternative is shown to help"


def test_an_unknown_row_is_one_line(tmp_path, capsys):
    write_yaml(tmp_path / "free.yaml", {"alternatives": {"rows": ["nonsense"]}})
    with pytest.raises(SystemExit) as ended:
        main(["alternatives", str(tmp_path / "free.yaml"), "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert "error: alternatives.rows: nonsense: unknown row" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
