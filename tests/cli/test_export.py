from __future__ import annotations

import json

import pytest

from tests.builders import KIND_DATA, kind_task, write_rows


def test_a_task_is_written_and_how_to_run_it_is_said(call, tmp_path):
    code, output, _ = call("export", "lm-eval", kind_task("agreement"), "--data", KIND_DATA, "--lang", "en,de",
                           "--out", tmp_path / "out")  # fmt: skip
    assert code == 0
    assert "spillover_agreement_en: " in output
    assert f"lm_eval run --include_path {tmp_path / 'out'} --tasks spillover_agreement" in output
    assert (tmp_path / "out" / "spillover_agreement_de.yaml").exists()


def test_limit_draws_the_items_of_evaluate(call, tmp_path):
    for name in ("one", "two"):
        assert call("export", "lm-eval", "sentiment", "--lang", "en", "--limit", 3, "--seed", 5, "--labels", "native",
                    "--out", tmp_path / name)[0] == 0  # fmt: skip
    texts = [(tmp_path / name / "spillover_sentiment_en.jsonl").read_text(encoding="utf-8") for name in ("one", "two")]
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 3
    assert json.loads(texts[0].splitlines()[0])["spillover"]["label_set"] == "native"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message", "cure"),
    [
        (["lm-eval", "nope"], 2, "task 'nope' is neither bundled nor a folder", ""),
        (["lm-eval", "copa", "--lang", "xx"], 2, "language 'xx' is not a BCP-47 code", "spillover ls languages"),
        (["lm-eval", "copa", "--lang", "fi"], 2, "'fi' is not available", "choose from en zh"),
        (["lm-eval", "sentiment", "--labels", "odd"], 2, "label set 'odd' is not in task sentiment", "native"),
        (["lm-eval", "copa", "--set", "evaluate.rule=paper"], 2, "evaluate.rule: paper", "leave it out"),
        (["lm-eval", "copa", "--set", "evaluate.chat=turns"], 2, "exported without a chat template", "leave it out"),
        (["lm-eval", "copa", "--data", "nowhere"], 3, "nowhere", ""),
        (["eee", "nowhere"], 3, "nowhere: not a run folder", "spillover ls runs"),
    ],
)
def test_a_mistake_is_one_line_with_its_cure(call, tmp_path, monkeypatch, arguments, exit_code, message, cure):
    monkeypatch.chdir(tmp_path)
    out = ["--out", "out"] if arguments[0] == "lm-eval" else []
    code, output, errors = call("export", *arguments, *out)
    assert (code, output) == (exit_code, "")
    assert message in errors
    assert cure in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left(call, tmp_path):
    write_rows(tmp_path / "out" / "mine.jsonl", [{"a": 1}])
    code, _, errors = call("export", "lm-eval", "copa", "--out", tmp_path / "out")
    assert code == 3
    assert "not empty (it holds mine.jsonl)" in errors
    assert "choose another --out" in errors


def test_records_go_into_the_run(call, run):
    code, output, _ = call("export", "eee", run, "--name", "tuned", "--organization", "Somebody")
    assert code == 0
    (path,) = (run / "export" / "data" / "spillover" / "unknown" / "tuned").glob("*.json")
    assert output == f"wrote {path}\n"


def test_a_log_is_compared_with_a_run(call, tool_logs, tmp_path):
    """The run is of the model that was logged, so nothing differs: see tests/data/make_exported_logs.py."""
    from tests.builders import save_model

    model, run = save_model(tmp_path / "model"), tmp_path / "run"
    log = tool_logs / "lm-eval-exported" / "agreement"
    evaluated = call("evaluate", "--task", kind_task("agreement"), "--data", KIND_DATA, "--model", model,
                     "--dtype", "float32", "--out", run)  # fmt: skip
    assert evaluated[0] == 0
    code, output, _ = call("compare", log, run, "--after", "base", "--json")
    assert code == 0
    (comparison,) = json.loads(output)
    assert {row["accuracy_delta"] for row in comparison["languages"]} == {0}
    assert call("compare", log, run, run)[0] == 2
    assert "give two sides" in call("compare", log, run, run)[2]
