"""What all verbs share: the stages one by one, mistakes, exit codes, help."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from spillover.cli import main
from spillover.core.files import read_yaml, resources, write_yaml


def test_the_stages_one_by_one(workspace, tmp_path, call):
    out, model, data = tmp_path / "run", ("--model", workspace / "model"), ("--data", workspace / "data")
    quick = (
        "--set",
        "train.epochs=4",
        "--set",
        "train.learning_rate=0.01",
        "--set",
        "train.batch=2",
        "--set",
        "train.batch_tokens=512",
    )
    steps = [
        (("audit", *data, "--out", out), "nothing found"),
        (("build", *data, "--source", "de,es", "--out", out), "(12 pairs)"),
        (("train", *model, "--dtype", "float32", "--out", out, *quick), "adapter"),
        (("merge", *model, *data, "--out", out), "merged"),
        (("evaluate", *model, *data, "--out", out), "AUROC"),
        (("evaluate", *model, *data, "--out", out, "--adapter", out / "train" / "adapter"), "wrote"),
        (("compare", out), "Holm"),
        (("probe", *model, "--items", "3", "--out", out), "probe/base"),
        (("report", out, "--figures", "svg"), "figures"),
        (("report", out, "--model-card", "--licence", "mit", "--latex"), "tables.tex"),
        (("ls", "runs", "--folder", tmp_path), "stages done"),
    ]
    for arguments, expected in steps:
        code, output, error = call(*arguments)
        assert code == 0, error
        assert expected in output
        if arguments[0] not in ("ls",):
            assert str(out) in output, "every verb says what it wrote"
    assert "de*" in call("compare", out)[1], "trained-on languages come from the pairs"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("evaluate", "--lang", "xx", "--out", "run"), 2, "'xx'"),
        (("evaluate", "--task", "sentimnet", "--out", "run"), 2, "'sentimnet'"),
        (("evaluate", "--labels", "french", "--out", "run"), 2, "'french'"),
        (("evaluate", "--dtype", "float8", "--out", "run"), 2, "'float8'"),
        (("evaluate", "--data", "nowhere", "--out", "run"), 3, "'nowhere'"),
        (("evaluate", "--limit", "0", "--out", "run"), 2, "found 0"),
        (("evaluate",), 2, "--out"),
        (("evaluate", "--colour", "red", "--out", "run"), 2, "--colour"),
        (("build", "--source", "ja", "--out", "run"), 2, "'ja'"),
        (("build", "--arm", "magic", "--out", "run"), 2, "'magic'"),
        (("train", "--out", "run"), 3, "pairs.jsonl"),
        (("merge", "--out", "run"), 3, "no train/adapter"),
        (("probe", "--pairs", "some", "--out", "run"), 2, "'some' is not one of 'reference', 'all'"),
        (("probe", "--out", "run"), 3, "no evaluation of 'base'"),
        (("probe",), 2, "--out is missing"),
        (("probe", "--layers", "1,x", "--out", "run"), 2, "probe.layers"),
        (("probe", "--rule", "mine", "--out", "run"), 2, "'mine'"),
        (("report", "run", "--figures", "gif"), 2, "'gif'"),
        (("compare", "run"), 3, "not a run folder"),
        (("compare",), 2, "give a run folder"),
        (("compare", "a.jsonl"), 2, "is a log: give two"),
        (("compare", "a.jsonl", "b.jsonl"), 3, "no samples found"),
        (("compare", "--plan"), 2, "--plan wants"),
        (("compare", "--plan", "--items", "9", "--accuracy", "87,91"), 2, "between 0 and 1"),
        (("compare", "run", "--margin", "2"), 2, "compare.margin"),
        (("build", "--arm", "off-domain", "--out", "run"), 2, "build.off_domain"),
        (("report", "run"), 3, "not a run folder"),
        (("run", "nothing.yaml"), 2, "nothing.yaml"),
        (("run",), 2, "CONFIG"),
        (("import", "paper", "."), 3, "not a checkout"),
        (("audit", "--fail-on", "panic", "--out", "run"), 2, "'panic'"),
        (("audit", "--set", "audit.birds=1", "--out", "run"), 2, "audit.birds"),
        (("audit", "--from-paper", ".", "--out", "run"), 3, "not a checkout"),
        (("audit", "--from-hub", "nothing", "--out", "run"), 2, "'nothing'"),
        (("import", "hub", "nothing"), 2, "'nothing'"),
        (("ls", "birds"), 2, "'birds'"),
        (("dance",), 2, "dance"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_a_hint_and_an_exit_code(arguments, code, message, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    found, output, error = call(*arguments)
    assert found == code, error
    assert message in error
    assert "Traceback" not in error
    assert output == ""
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_of_a_task_without_wording_is_not_audited(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    row = read_yaml(resources() / "datasets.yaml")["datasets"]["sib-200"] | {"task": "headlines"}
    write_yaml(tmp_path / "own.yaml", row)
    code, output, error = call("audit", "--from-hub", "own.yaml", "--out", "run")
    assert (code, output) == (2, "")
    assert "'headlines'" in error
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


def test_interrupted_is_130_and_says_how_to_resume(monkeypatch, call):
    monkeypatch.setattr("spillover.pipeline.run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    code, _, error = call("demo")
    assert code == 130
    assert "rerun the same command to resume" in error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/demo"), 3, "runs/demo: No space left on device"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "runs/x"), 3, "try: choose a shorter path"),
        (ModuleNotFoundError("No module named 'peft'", name="peft"), 4, "spillover[models]"),
    ],
)
def test_a_full_disk_and_a_missing_package_are_no_bugs(error, code, message, monkeypatch, call):
    monkeypatch.setattr("spillover.pipeline.run", lambda *_, **__: (_ for _ in ()).throw(error))
    found, _, text = call("demo")
    assert found == code
    assert message in text


@pytest.mark.parametrize("arguments", [(), ("import",)])
def test_without_a_verb_the_help_is_shown(arguments, call):
    code, output, error = call(*arguments)
    assert (code, output) == (2, "")
    assert error.startswith("Usage: spillover")


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("spillover.pipeline.run", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["demo"])


def test_a_closed_pipe_ends_quietly_with_141():
    """`spillover ... | head`: no traceback, and the shell's exit code of a broken pipe."""
    command = f"set -o pipefail; {sys.executable} -m spillover run --help-config | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 141)
