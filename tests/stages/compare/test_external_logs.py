"""Logs in the shape that lm-evaluation-harness and inspect_ai write, made here."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import ConfigError, DataError
from spillover.stages.compare import compare
from spillover.stages.compare.external_logs import is_log, read_logs
from tests.builders import write_rows

CHOICES = (" Yes", " No")


def harness_row(doc, right, gold, choices=CHOICES):
    answers = [["-1.0", "True"] if (i == gold) == right else ["-2.0", "False"] for i in range(2)]
    return {
        "doc_id": doc, "doc": {"premise": "x"}, "target": str(gold), "filter": "none", "metrics": ["acc"],
        "arguments": {f"gen_args_{i}": {"arg_0": "x", "arg_1": choice} for i, choice in enumerate(choices)},
        "resps": [[answer] for answer in answers], "filtered_resps": answers, "acc": float(right),
        "doc_hash": "a", "prompt_hash": "b", "target_hash": "c",
    }  # fmt: skip


def harness_folder(folder, shares, rng, n=60, **options):
    for code, share in shares.items():
        rows = [harness_row(doc, rng.random() < share, doc % 2, **options) for doc in range(n)]
        write_rows(folder / f"samples_xnli_{code}_2026-01-21T03-44-18.458309.jsonl", rows)
    return folder


def inspect_log(rights, task="inspect_evals/arc", scorer="choice"):
    values = {True: "C", False: "I"}
    samples = [
        {"id": f"s{i}", "epoch": 1, "input": "x", "target": "A", "scores": {scorer: {"value": values[bool(right)], "answer": "A"}}}
        for i, right in enumerate(rights)
    ]  # fmt: skip
    return {"version": 2, "status": "success", "eval": {"task": task, "model": "m", "dataset": {}}, "samples": samples}


def test_two_harness_runs_are_compared_with_labels_and_languages(tmp_path):
    rng = np.random.default_rng(0)
    before = read_logs(harness_folder(tmp_path / "a", {"de": 0.5, "en": 0.6}, rng))
    after = read_logs(harness_folder(tmp_path / "b", {"de": 0.9, "en": 0.9}, rng))
    assert is_log(tmp_path / "a")
    assert [one.task for one in before] == ["xnli"]
    assert before[0].scores["de"].labels == ("Yes", "No")
    found = compare(before[0], after[0], config=CompareConfig(draws=50))
    assert set(found.languages["language"]) == {"de", "en"}
    assert found.languages["auroc_after"].min() > 0.7
    assert "improved" in found.verdict[1].text


def test_choices_that_differ_give_accuracy_alone(tmp_path):
    rows = [harness_row(doc, doc % 3 > 0, doc % 2, choices=(f" a{doc}", f" b{doc}")) for doc in range(30)]
    path = write_rows(tmp_path / "samples_arc_2026-01-21T03-44-18.jsonl", rows)
    one = read_logs(path)[0]
    found = compare(one, one, config=CompareConfig(draws=50))
    assert found.languages["accuracy_after"][0] == pytest.approx(2 / 3)
    assert np.isnan(found.languages["auroc_after"][0])
    assert found.languages["reason"][0] == "no label log-probabilities"
    assert "these scores do not show the label-bias component" in str(found)


def test_two_inspect_logs_as_json_and_as_zip(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "a.json").write_text(json.dumps(inspect_log(rng.random(80) < 0.4)))
    log = inspect_log(rng.random(80) < 0.9)
    with zipfile.ZipFile(tmp_path / "b.eval", "w") as archive:
        archive.writestr("header.json", json.dumps({key: log[key] for key in log if key != "samples"}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    before, after = (read_logs(tmp_path / name)[0] for name in ("a.json", "b.eval"))
    assert before.task == after.task == "arc"
    assert "improved" in compare(before, after, config=CompareConfig(draws=50)).verdict[1].text


def test_epochs_are_the_same_item_again(tmp_path):
    log = inspect_log([True, False])
    log["samples"] += [sample | {"epoch": 2, "scores": {"choice": {"value": 1.0}}} for sample in log["samples"]]
    (tmp_path / "a.json").write_text(json.dumps(log))
    assert read_logs(tmp_path / "a.json")[0].scores["und"].outcome.tolist() == [1.0, 0.5]


def test_what_is_no_log_is_named(tmp_path):
    broken = write_rows(tmp_path / "samples_x.jsonl", [{"id": 1}])
    with pytest.raises(DataError, match=r"samples_x\.jsonl:1: no doc_id"):
        read_logs(broken)
    twice = write_rows(tmp_path / "samples_y.jsonl", [harness_row(0, True, 0)] * 2)
    with pytest.raises(DataError, match=r"samples_y\.jsonl:2: duplicate doc_id 0, first on line 1"):
        read_logs(twice)
    (tmp_path / "z.eval").write_text("no zip")
    with pytest.raises(DataError, match=r"z\.eval: not a readable \.eval log"):
        read_logs(tmp_path / "z.eval")
    log = inspect_log([True])
    log["samples"][0]["scores"]["other"] = {"value": "C"}
    (tmp_path / "two.json").write_text(json.dumps(log))
    with pytest.raises(ConfigError, match="several scores: choice, other"):
        read_logs(tmp_path / "two.json")
    with pytest.raises(DataError, match=r"samples_v\.jsonl:1: acc: 7 is not a score"):
        read_logs(write_rows(tmp_path / "samples_v.jsonl", [harness_row(0, True, 0, choices=(" a",)) | {"acc": 7}]))
