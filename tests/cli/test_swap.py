from __future__ import annotations

from tests.builders import save_adapter


def test_a_swapped_adapter_is_scored_as_any_other(workspace, tmp_path, call):
    adapters = [save_adapter(tmp_path / f"a{rank}", workspace / "model", r=rank) for rank in (2, 4)]
    out = tmp_path / "swapped"
    swap = ("swap", *adapters, "--layers", "1", "--model", workspace / "model", "--dtype", "float32", "--out", out)
    code, shown, err = call(*swap)
    assert (code, shown.split(" (")[0]) == (0, f"wrote {out}"), err
    code, _, err = call(*swap)
    assert code == 3
    assert "exists" in err
    scored = (
        "evaluate",
        "--model",
        workspace / "model",
        "--dtype",
        "float32",
        "--data",
        workspace / "data",
        "--lang",
        "en",
    )
    code, shown, err = call(*scored, "--adapter", out, "--adapter-layers", "0", "--out", tmp_path / "run")
    assert (code, "wrote" in shown) == (0, True), err
    code, _, err = call(*scored, "--adapter-layers", "0", "--out", tmp_path / "run")
    assert code == 2
    assert "without an adapter" in err
