from __future__ import annotations

import json
import sys

import pytest

from spillover.stages.evaluate.score_tables import read_scores
from tests.builders import small_data
from tests.cli.builders import CODES
from tests.models.chat_templates import chat_model
from tests.models.fake_server import FakeServer, serving


def test_results_are_printed_as_json(workspace, tmp_path, call):
    code, output, _ = call("evaluate", "--model", workspace / "model", "--data", workspace / "data", "--lang", "en", "--out", tmp_path / "run", "--json")  # fmt: skip
    assert code == 0
    assert json.loads(output)[0]["language"] == "en"
    assert json.loads(call("audit", "--data", workspace / "data", "--out", tmp_path / "a", "--json")[1]) == []


def test_bad_data_is_named_with_file_and_line_before_a_model_is_loaded(tmp_path, call):
    data = small_data(tmp_path / "data")
    path = data / "sentiment" / "test" / "de.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    code, _, error = call("evaluate", "--model", tmp_path / "no-model", "--data", data, "--out", tmp_path / "run")
    assert code == 3
    assert f"{path}:7: broken JSON" in error


def test_scores_are_summarised_without_a_model_under_every_rule(run, call):
    folder = run / "evaluate" / "tuned" / "sentiment"
    code, output, _ = call("evaluate", "--scores", folder)
    assert code == 0
    assert "positive, negative: % of answers given (% of gold)" in output
    assert max(map(len, output.splitlines())) <= 100
    rows = json.loads(call("evaluate", "--scores", folder, "--json")[1])
    assert [row["language"] for row in rows] == list(CODES)
    scores, _ = read_scores(folder / "en.parquet")
    assert rows[0]["accuracy"] == pytest.approx((scores.logprobs.argmax(1) == scores.gold).mean())
    plain = json.loads(call("evaluate", "--scores", folder, "--json", "--calibration", "none")[1])
    assert plain[0]["calibrated_accuracy"] == pytest.approx(plain[0]["accuracy"])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert call("evaluate", "--scores", folder, "--length", "token")[0] == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--scores", "{run}"), 3, "no scores here"),
        (("--scores", "{folder}", "--out", "{run}"), 2, "leave --out away"),
        (("--scores", "{folder}", "--calibration", "pmi"), 3, "no scores for pmi calibration"),
        (("--scores", "{folder}", "--calibration", "prior"), 2, "is not one of 'none', 'batch', 'contextual', 'pmi'"),
        (("--scores", "{folder}", "--length", "byte"), 3, "no byte lengths"),
    ],
)
def test_scores_that_cannot_be_summarised(arguments, code, message, run, call):
    folder = run / "evaluate" / "tuned" / "sentiment"
    found = call("evaluate", *(argument.format(run=run, folder=folder) for argument in arguments))
    assert found[0] == code
    assert message in found[2]


def test_the_chat_form_is_an_option_and_its_mistakes_are_one_line(workspace, tmp_path, call):
    model = chat_model("gemma")
    for part in (model.module, model.tokenizer):
        part.save_pretrained(tmp_path / "instruct")
    options = ("--data", workspace / "data", "--lang", "en", "--out", tmp_path / "run")
    code, _, error = call("evaluate", "--model", workspace / "model", *options, "--chat", "turns")
    assert code == 2
    assert "evaluate.chat: turns: " in error
    assert "has no chat template" in error
    assert "--chat off asks without a template; or take its instruct version" in " ".join(error.split())
    instruct = ("evaluate", "--model", tmp_path / "instruct", *options)
    code, _, error = call(*instruct, "--system-prompt", "Be brief.")
    assert code == 2
    assert "takes none: its chat template fails: System role not supported" in " ".join(error.split())
    assert not list((tmp_path / "run").rglob("*.parquet"))
    code, _, error = call(*instruct)
    assert code == 0
    assert "is asked in its chat template, form turns (evaluate.chat: auto)" in " ".join(error.split())
    code, _, error = call(*instruct, "--chat", "off", "--name", "plain")
    assert code == 0
    assert "is asked without its chat template; --chat auto uses it" in " ".join(error.split())


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_served_model_is_scored_and_what_is_wrong_is_one_line(workspace, tiny, tmp_path, call):
    data = ("--data", workspace / "data", "--lang", "en", "--chat", "off", "--tokenizer", workspace / "model")
    with serving(FakeServer({"served": tiny}), FakeServer({"served": tiny})) as urls:
        servers = [word for url in urls for word in ("--server", url)]
        code, output, error = call("evaluate", "--model", "served", *servers, *data, "--out", tmp_path / "run")
        assert (code, output.splitlines()[-1].split()[0]) == (0, "wrote"), error
        code, _, error = call("evaluate", "--model", "other", *servers, *data, "--out", tmp_path / "other")
        assert code == 2
        assert f"model.name: {urls[0]} does not serve 'other'; it serves 'served'" in error
    code, _, error = call("evaluate", "--model", "served", *servers, *data, "--out", tmp_path / "down")
    assert code == 3
    assert "no server answers: " in error
    assert "Traceback" not in error
    code, _, error = call("evaluate", "--model", "served", "--server", "http://me:secret@a:1", "--out", tmp_path / "x")
    assert code == 2
    assert "model.server: number 1 is no address" in error
    assert "secret" not in error


def test_a_run_that_trains_refuses_a_server(tmp_path, call):
    (tmp_path / "c.yaml").write_text("model: {name: served, server: [http://a:1]}\n")
    code, _, error = call("run", tmp_path / "c.yaml", "--out", tmp_path / "run")
    assert code == 2
    assert "trains, which needs the model's weights" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", [("probe",), ("probe", "lens", "--text", "a"), ("steer",), ("train",)])
def test_what_needs_weights_refuses_a_server_before_it_is_asked(tmp_path, call, verb):
    out = () if "lens" in verb else ("--out", tmp_path / "run")
    code, _, error = call(*verb, *out, "--set", 'model.server=["http://127.0.0.1:9"]')
    assert code == 2
    assert "needs the model's weights, which a server does not give" in error
    assert "next try" not in error
    assert not (tmp_path / "run").exists()


def test_workers_without_ray_and_ray_without_its_package_say_what_to_do(workspace, tmp_path, call, monkeypatch):
    arguments = ("evaluate", "--model", workspace / "model", "--data", workspace / "data", "--out", tmp_path / "run")
    code, _, error = call(*arguments, "--workers", "2")
    assert code == 2
    assert "--workers goes with --on ray" in error
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = call(*arguments, "--on", "ray")
    assert code == 4
    assert "pip install 'spillover[ray]'" in error
    assert not (tmp_path / "run").exists()
