from __future__ import annotations

from spillover.core.files import read_jsonl


def test_pairs_are_written_and_counted(workspace, tmp_path, call):
    code, out, _ = call(
        "build", "--data", workspace / "data", "--source", "de", "--pairs", 3, "--out", tmp_path / "run"
    )
    assert code == 0
    rows = list(read_jsonl(tmp_path / "run" / "build" / "pairs.jsonl"))
    assert len(rows) == 3
    assert out == f"wrote {tmp_path / 'run' / 'build' / 'pairs.jsonl'} (3 pairs)\n"


def test_an_end_token_is_for_llama_factory_alone_and_nothing_is_written(workspace, tmp_path, call):
    arguments = ("build", "--data", workspace / "data", "--out", tmp_path / "run", "--end-of-text", "</s>")
    code, out, err = call(*arguments, "--format", "trl")
    assert (code, out) == (2, "")
    assert "--end-of-text </s>: only for --format llama-factory" in err
    assert not (tmp_path / "run").exists()
