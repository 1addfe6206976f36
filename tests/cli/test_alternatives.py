from __future__ import annotations

import json

import numpy as np
import pytest

from spillover.cli import main
from spillover.cli.alternatives import print_alternatives
from spillover.core.files import write_yaml
from spillover.stages.alternatives.rows import Row, RowKind
from spillover.stages.alternatives.table import alternatives_of
from tests.builders import save_model, small_data
from tests.stages.alternatives.builders import quality, scored_rows


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


def test_translations_and_a_row_without_numbers_are_shown_with_the_reason(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    scored = scored_rows(np.random.default_rng(0), n=60, self_translate=0.1, self_translate_null=0.0)
    left_out = [
        Row("translate-test", RowKind.FREE, "translate-test", reason="needs a translator: one of seq2seq, server")
    ]
    tables = {
        "self_translate": quality(("de",)),
        "translate-test": quality(("es",), chrf=np.nan, reason="x is not parallel"),
    }
    print_alternatives(alternatives_of(scored, left_out=left_out, translations=tables))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "translate-test has no numbers: needs a translator: one of seq2seq, server." in text
    cells = [line.split() for line in lines]
    assert ["self_translate", "de", "31.2", "17.5", "2", "3", "4", "120"] in cells
    assert ["translate-test", "es", "–", "17.5", "2", "3", "4", "120"] in cells
    assert ["translate-test", "–", "–", "–", "–"] in cells
    assert "No chrF: x is not parallel." in lines


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
