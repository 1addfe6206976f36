from __future__ import annotations

import json

import pytest

from tests.builders import save_model
from tests.stages.steer.builders import steer_data


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("steer")
    save_model(root / "model")
    steer_data(root / "data")
    return root


def test_made_evaluated_and_compared(workspace, tmp_path, call):
    model = (
        "--model",
        workspace / "model",
        "--data",
        workspace / "data",
        "--out",
        tmp_path / "run",
        "--dtype",
        "float32",
    )
    code, output, _ = call("steer", *model, "--method", "language-vector", "--layers", "1", "--source", "de")
    assert code == 0
    folder = tmp_path / "run" / "steer" / "language-vector"
    assert f"wrote {folder}, and its nulls beside it" in " ".join(output.split())
    assert json.loads((folder / "intervention.json").read_text())["languages"] == ["de"]
    items = (*model, "--lang", "en,de")
    assert call("evaluate", *items)[0] == 0
    code, output, _ = call("evaluate", *items, "--steer", folder)
    assert code == 0
    assert "evaluate/language-vector/sentiment" in "".join(output.split())
    code, output, _ = call("compare", tmp_path / "run", "--after", "language-vector")
    assert code == 0
    assert "After is steered by language-vector" in " ".join(output.split())
    code, _, error = call("evaluate", *model, "--lang", "es", "--steer", folder)
    assert code == 3
    assert "intervention language-vector: it has no vector for es" in " ".join(error.split())
    save_model(tmp_path / "other", seed=1)
    code, _, error = call("evaluate", "--model", tmp_path / "other", *items[2:], "--steer", folder)
    assert code == 3
    assert "made for" in error


def test_mistakes_are_one_line(workspace, tmp_path, call):
    model = ("--model", workspace / "model", "--data", workspace / "data", "--out", tmp_path / "run")
    code, _, error = call("steer", *model, "--layers", "9,x")
    assert code == 2
    assert "steer.layers" in error
    code, _, error = call("steer", *model, "--choose", "held-out")
    assert code == 2
    assert "at least 20 are needed" in " ".join(error.split())
    assert not (tmp_path / "run" / "steer").exists()
    code, _, error = call("evaluate", *model, "--steer", tmp_path / "nothing")
    assert code == 3
    assert "no intervention" in error
