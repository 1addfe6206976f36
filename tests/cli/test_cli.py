"""The command line as a person meets it: exit codes, one line of what is wrong, results on stdout."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from spillover.cli import VERBS, main, terminal
from tests.builders import save_model, small_data, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    save_model(root / "model")
    small_data(root / "data")
    return root


@pytest.fixture
def call(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return caught.value.code or 0, output.out, output.err

    return run


def test_the_stages_one_by_one(place, tmp_path, call):
    out, model, data = tmp_path / "run", ("--model", place / "model"), ("--data", place / "data")
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


def test_of_several_processes_only_the_first_says_what_it_wrote(place, tmp_path, call, monkeypatch):
    call("build", "--data", place / "data", "--source", "de,es", "--out", tmp_path / "run")
    monkeypatch.setattr(import_module("spillover.stages.train.stage"), "train", lambda *_, **__: None)
    arguments = ("train", "--model", place / "model", "--out", tmp_path / "run")
    assert "wrote" in call(*arguments)[1]
    monkeypatch.setenv("RANK", "1")
    assert call(*arguments)[:2] == (0, "")


def test_a_sweep_ends_with_the_real_arm_against_the_placebo(place, tmp_path, call):
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"""name: arms
data: {place / "data"}
model: {{name: {place / "model"}, dtype: float32, device: cpu}}
build: {{sources: [de]}}
train: {{epochs: 1, batch: 2, validation: 0.0, keep_merged: false}}
probe: {{items: 3}}
compare: {{draws: 20}}
grid: {{build.arm: [translate, copy], train.seed: [0, 1]}}
"""
    )
    code, output, error = call("sweep", grid, "--out", tmp_path / "runs")
    assert code == 0, error
    assert "translate against copy" in output
    assert "over 2 seeds" in output
    assert "figure-transfer-sentiment" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    folders = sorted(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    code, output, error = call("compare", *folders, "--draws", "20", "--json")
    assert code == 0, error
    assert json.loads(output)[0]["contrasts"]
    assert "tabular" in call("compare", folders[0], "--draws", "20", "--latex")[1]
    assert "minimum detectable change" in call("compare", "--plan", folders[0])[1]


def test_the_lens_shows_words_by_layer_for_one_text(place, call):
    text = ("probe", "lens", "--text", "评论: good", "--model", place / "model")
    code, output, error = call(*text, "--tokens", "3")
    assert code == 0, error
    assert output.splitlines()[0].startswith("layer")
    assert [line.split()[0] for line in output.splitlines()[1:4]] == ["2", "1", "0"]
    found = json.loads(call(*text, "--tokens", "2", "--top", "4", "--json")[1])
    assert len(found["tokens"]) == 2
    assert [row["layer"] for row in found["layers"]] == [0, 1, 2]
    for row in found["layers"]:
        for place_ in row["places"]:
            shares = [token["probability"] for token in place_]
            assert len(shares) == 4
            assert shares == sorted(shares, reverse=True)
    assert call("probe", "lens", "--text", "", "--model", place / "model")[0] == 3


def test_results_as_json(place, tmp_path, call):
    code, output, _ = call("evaluate", "--model", place / "model", "--data", place / "data", "--lang", "en", "--out", tmp_path / "run", "--json")  # fmt: skip
    assert code == 0
    assert json.loads(output)[0]["language"] == "en"
    assert json.loads(call("audit", "--data", place / "data", "--out", tmp_path / "a", "--json")[1]) == []


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
        (("audit", "--from-hub", "sib-200", "--out", "run"), 2, "'topic'"),
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


def test_every_mistake_in_a_config_is_listed(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("nmae: x\nlimit: few\ntrain: {rank: 0}\n")
    code, _, error = call("run", "bad.yaml", "--out", "run")
    assert code == 2
    assert all(part in error for part in ("nmae", "few", "train.rank"))
    assert not Path("run").exists()


def test_bad_data_is_named_with_file_and_line(place, tmp_path, call):
    data = small_data(tmp_path / "data")
    path = data / "sentiment" / "test" / "de.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    code, _, error = call("evaluate", "--model", place / "model", "--data", data, "--out", tmp_path / "run")
    assert code == 3
    assert f"{path}:7: broken JSON" in error


def test_a_log_gets_a_line_of_progress_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 5.0, 16.0, 17.0, 40.0, 41.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with terminal.progress_bars() as progress:
        for done in range(1, 7):
            progress("audit nli", done, 6)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines == ["audit nli: 3/6", "audit nli: 5/6", "audit nli: 6/6"]


def test_findings_end_with_exit_code_three(tmp_path, call):
    data = small_data(tmp_path / "data")
    write_rows(data / "sentiment" / "test" / "de.jsonl", [{"id": "item-0", "review": "x", "label": "gut"}])
    code, output, _ = call("audit", "--data", data, "--out", tmp_path / "run")
    assert code == 3
    assert "unknown-label" in output


def test_the_worst_language_comes_first_and_fail_on_decides(tmp_path, call):
    data = small_data(tmp_path / "data", ("en", "de", "es", "fr"), items=20)
    path = data / "sentiment" / "test" / "es.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [rows[0] | {"review": "review 0 in en"}, *rows[1:]])
    arguments = ("audit", "--data", data, "--out", tmp_path / "run")
    assert call(*arguments)[0] == 0, "a warning is no error"
    assert call(*arguments, "--fail-on", "warning")[0] == 3
    assert call(*arguments, "--fail-on", "warning", "--set", "audit.text_letters=50")[0] == 0
    path = data / "sentiment" / "test" / "fr.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [row | {"label": "bon" if row["label"] == "positive" else "negative"} for row in rows])
    code, output, _ = call(*arguments, "--fix", tmp_path / "fixed")
    assert code == 3
    table = output.splitlines()
    assert [line.split()[1] for line in table if line.startswith("sentiment")] == ["fr", "es"]
    assert " 50.0 " in next(line for line in table if line.startswith("sentiment fr"))
    assert "repaired sentiment/test/fr: 10 x label (unknown-label)" in output
    assert call("audit", "--data", tmp_path / "fixed", "--out", tmp_path / "again")[0] == 0


def test_a_folder_that_a_repaired_copy_may_not_replace_is_refused_before_the_audit(place, tmp_path, call):
    (tmp_path / "mine").write_text("precious")
    code, output, error = call("audit", "--data", place / "data", "--out", tmp_path / "run", "--fix", tmp_path / "mine")
    assert code == 3
    assert "not made by --fix" in error
    assert output == ""
    assert not (tmp_path / "run" / "audit").exists()


def test_a_models_tokenizer_is_asked_when_it_is_named(place, tmp_path, call):
    code, output, error = call("audit", "--lang", "en,hi", "--model", place / "model", "--out", tmp_path / "run")
    assert code == 0, error
    assert "token-cost" in output


def test_a_data_set_of_ones_own_row_is_imported_and_audited(tmp_path, call):
    (tmp_path / "rows.json").write_text('{"text": "Works well.", "stars": 5}\n{"text": "Broke at once.", "stars": 1}\n')
    (tmp_path / "mine.yaml").write_text(
        "task: sentiment\nsplits: {test: test}\nfields: {review: text}\nlabel: stars\nlabels: {1: negative, 5: positive}\n"
        f"files: {{en: {{test: {tmp_path / 'rows.json'}}}}}\n"
    )
    code, output, error = call("import", "hub", tmp_path / "mine.yaml", "--out", tmp_path / "data")
    assert code == 0, error
    assert "sentiment/test/en: 2 rows" in output
    assert "--task sentiment" in output
    assert call("audit", "--from-hub", tmp_path / "mine.yaml", "--out", tmp_path / "run")[0] == 0


def test_interrupted_is_130_and_says_how_to_resume(monkeypatch, call):
    monkeypatch.setattr("spillover.pipeline.run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    code, _, error = call("demo")
    assert code == 130
    assert "rerun the same command to resume" in error


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("spillover.pipeline.run", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["demo"])


def test_ls(call):
    assert "paraphrase" in call("ls", "tasks")[1]
    assert len(call("ls", "languages")[1].splitlines()) == 20
    assert "smollm2-135m" in call("ls", "models")[1]


def test_ls_says_what_each_check_sees(call):
    output = call("ls", "checks")[1]
    assert "label-permutation" in output
    assert "Cannot see" in output
    assert "xnli" in call("ls", "datasets")[1]


def test_help_config_lists_every_key(call):
    assert "train.rank" in call("run", "--help-config")[1]


def test_a_demo_folder_that_is_no_run_is_not_deleted(tmp_path, call):
    (tmp_path / "precious").write_text("x")
    code, _, error = call("demo", "--out", tmp_path, "--fresh")
    assert code == 3
    assert (tmp_path / "precious").exists()
    assert "not a run folder" in error


def test_a_reader_that_has_enough_ends_it_quietly():
    """`spillover ... | head`: no traceback, and the shell's exit code of a broken pipe."""
    command = f"set -o pipefail; {sys.executable} -m spillover run --help-config | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 141)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_fits_80_columns_and_has_a_line_for_every_option(verb, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, output, _ = call(verb, "--help")
    assert code == 0
    assert max(map(len, output.splitlines())) <= 80
    for line in re.findall(r"^  --[\w/-]+(?:, --\w+)?(?: <[^>]*>)? *$(?!\n {20,}\S)", output, re.M):
        pytest.fail(f"no help: {line}")


def test_the_options_of_config_keys_show_choices_and_defaults_and_set_still_reaches_them(call, tmp_path):
    output = call("evaluate", "--help")[1]
    assert "--rule <exact|paper>" in output
    assert "[default: smollm2-135m]" in " ".join(output.split())
    assert "Items per language. [default: all]" in " ".join(output.split())
    code, _, error = call("evaluate", "--out", tmp_path / "run", "--set", "evaluate.labels=birds")
    assert (code, "birds" in error) == (2, True), "an option that is not given leaves --set alone"
