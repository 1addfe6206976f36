"""The page from a folder: whole when stages are missing, and every text only text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError, RunError
from spillover.core.files import write_json
from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare_run
from spillover.stages.evaluate.score_tables import facts_of, write_scores
from spillover.stages.report.flips import _cut, changed_items
from spillover.stages.report.page import report
from spillover.stages.report.provenance import absent
from tests.builders import evaluation, random_hits, table, write_evaluation
from tests.stages.report.runs import make_run


@pytest.fixture
def place(tmp_path):
    run = open_run(tmp_path / "run")
    run.update(name="my run")
    rng = np.random.default_rng(0)
    for name, share in (("base", 0.4), ("tuned", 0.7)):
        hits = {code: random_hits(rng, share, 24) for code in ("en", "de", "th")}
        write_evaluation(run, name, evaluation(hits))
    compare_run(run, seen=["de"], config=CompareConfig(draws=50))
    shutil.rmtree(run.path / "evaluate")
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("whole") / "run")


def test_the_page_has_the_verdict_the_languages_and_a_chart(place):
    text = report(place.path).read_text(encoding="utf-8")
    assert "my run" in text
    assert "all 3 languages" in text
    assert all(name in text for name in ("English", "German", "Thai"))
    assert "<svg" in text
    assert "Few items: 24 in a language" in text


def test_the_first_thing_on_the_page_is_claim_answer_and_reasons(place):
    text = report(place.path).read_text(encoding="utf-8")
    headline = text[text.index('class="facts"') : text.index("<figure")]
    assert "training on German improves sentiment in Thai" in headline
    assert re.search(r"<h2><bdi>(Yes|No|Not shown|Accuracy rose)", headline)
    assert "No placebo arm was compared" in headline


def test_a_run_with_nothing_in_it_has_a_page_that_says_so(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    text = report(run.path).read_text(encoding="utf-8")
    assert "Nothing is compared" in text
    assert "No audit" in text


def test_the_policy_names_each_script_of_the_page_and_allows_no_other(place):
    text = report(place.path).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert re.findall(r"'sha256-([^']*)'", policy) == hashes
    assert len(hashes) == 2


def test_hostile_text_is_only_text(place):
    evil = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    place.update(name=evil)
    finding = {
        "check": evil,
        "severity": "error",
        "task": evil,
        "language": "en",
        "message": evil,
        "example_ids": [evil],
        "evidence": {},
    }
    write_json(place.path / "audit" / "findings.json", [finding])
    text = report(place.path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL), "Vega itself draws images"
    assert "&lt;script&gt;" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_an_unfinished_evaluation_is_left_out(place):
    (place.path / "evaluate" / "base" / "sentiment").mkdir(parents=True)
    assert report(place.path).exists()


@pytest.mark.parametrize(
    "name",
    [
        "audit/findings.json", "compare/languages.parquet", "compare/verdict.json", "evaluate/base/sentiment/de.parquet",
        "probe/base/lens.parquet", "probe/tuned/pca.parquet", "train/steps.jsonl",
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"", b"PAR1 no table", b'[{"a": 1}]'])
def test_a_damaged_file_is_named_and_the_old_page_stays(whole, name, content):
    page = whole.path / "report.html"
    page.write_text("the old page")
    kept = (whole.path / name).read_bytes()
    (whole.path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(name)):
        report(whole.path)
    assert page.read_text() == "the old page"
    (whole.path / name).write_bytes(kept)


@pytest.mark.parametrize("stage", ["evaluate", "probe", "train"])
def test_a_stage_that_is_missing_is_left_out_and_said(whole, tmp_path, stage):
    copy = shutil.copytree(whole.path, tmp_path / "copy")
    assert not any(text.startswith(stage) for text, _ in absent(whole, []))
    shutil.rmtree(copy / stage)
    manifest = json.loads((copy / "run.json").read_text())
    manifest["stages"].pop(stage, None)
    write_json(copy / "run.json", manifest)
    text = report(copy).read_text(encoding="utf-8")
    assert f"<bdi>{stage}:" in text
    assert "Claim:" in text


def test_several_runs_stand_on_one_page_with_their_transfer(whole, tmp_path):
    other = shutil.copytree(whole.path, tmp_path / "other")
    target = tmp_path / "both.html"
    assert report(whole.path, other, out=target) == target
    text = target.read_text(encoding="utf-8")
    assert "Runs, placebo and seeds" in text
    assert 'id="figure-transfer-sentiment"' in text


def test_tables_without_texts_still_give_their_items(place):
    old = table([[-1, -2], [-2, -1]], [0, 1])
    new = table([[-1, -2], [-1, -2]], [0, 1])
    sides = [
        (place.path / name, Evaluation(ModelRef("m", None, None, name), "sentiment", "english", name, {"en": scores}))
        for name, scores in (("old", old), ("new", new))
    ]
    for folder, side in sides:
        write_scores(folder / "en.parquet", side.scores["en"], facts_of(side))
    found = changed_items(*sides)
    assert not found["has_texts"]
    assert found["rows"] == [["en", "i1", 0, 1, [269, 731], [731, 269], ""]]


def test_texts_that_are_too_many_are_cut_at_one_length():
    texts = ["x" * 100] * 10 + ["y" * 10_000] * 5
    cut = _cut(texts, 11_000)
    assert cut == 2_000
    assert _cut(texts, 60_000) is None


def test_training_curve_is_drawn(place):
    steps = place.path / "train" / "steps.jsonl"
    steps.parent.mkdir()
    steps.write_text("".join(json.dumps({"step": i, "loss": 1 / i}) + "\n" for i in range(1, 5)))
    assert "<h2>Training</h2>" in report(place.path).read_text(encoding="utf-8")
