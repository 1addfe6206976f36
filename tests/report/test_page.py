"""The page from a folder: whole when stages are missing, and every text only text."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from spillover.compare.run import compare_run
from spillover.core.config import CompareConfig
from spillover.core.errors import RunError
from spillover.core.files import write_json
from spillover.core.runs import open_run
from spillover.report.page import report
from tests.compare.test_paired import evaluation, random_hits


@pytest.fixture
def place(tmp_path):
    run = open_run(tmp_path / "run")
    run.update(name="my run")
    rng = np.random.default_rng(0)
    sides = [[evaluation({code: random_hits(rng, share, 24) for code in ("en", "de", "th")})] for share in (0.4, 0.7)]
    compare_run(run, *sides, seen=["de"], config=CompareConfig(draws=50), seed=0)
    return run


def test_the_page_has_the_verdict_the_languages_and_a_chart(place):
    text = report(place.path).read_text(encoding="utf-8")
    assert "my run" in text
    assert "all 3 languages" in text
    assert all(name in text for name in ("English", "German", "Thai"))
    assert "<svg" in text
    assert "24 items per language prove little" in text


def test_the_first_thing_on_the_page_is_claim_answer_and_reasons(place):
    text = report(place.path).read_text(encoding="utf-8")
    headline = text[text.index("<dl") : text.index("</dl>")]
    assert text.index("<dl") < text.index("<svg")
    assert "Training on German improves sentiment in Thai" in headline
    assert re.search(r'class="answer">(Yes|No|Not shown|Accuracy rose)', headline)
    assert "No placebo was compared" in headline


def test_a_run_with_nothing_in_it_has_a_page_that_says_so(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    text = report(run.path).read_text(encoding="utf-8")
    assert "Nothing is compared" in text
    assert "No audit" in text


def test_the_page_asks_nobody_for_anything_and_runs_no_script(place):
    text = report(place.path).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "default-src 'none'" in text
    addresses = set(re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', text))
    assert not {address for address in addresses if not address.startswith("#")}


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
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert "found 1 errors" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run here"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_an_unfinished_evaluation_is_left_out(place):
    (place.path / "evaluate" / "base" / "sentiment").mkdir(parents=True)
    assert report(place.path).exists()


def test_training_curve_is_drawn(place):
    steps = place.path / "train" / "steps.jsonl"
    steps.parent.mkdir()
    steps.write_text("".join(json.dumps({"step": i, "loss": 1 / i}) + "\n" for i in range(1, 5)))
    assert "<h2>Training</h2>" in report(place.path).read_text(encoding="utf-8")
