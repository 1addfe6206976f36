"""The page as text: every text only text, a policy that names each script."""

from __future__ import annotations

import base64
import hashlib
import re

from spillover.core.files import write_json
from spillover.stages.report import report


def test_the_first_thing_on_the_page_is_claim_answer_and_reasons(run):
    text = report(run.path).read_text(encoding="utf-8")
    headline = text[text.index('class="headline"') : text.index("<figure")]
    assert "training on German improves sentiment in Thai" in headline
    assert re.search(r"<h2><bdi>(Yes|No|Not shown|Accuracy rose)", headline)
    assert "No placebo arm was compared" in headline


def test_the_policy_names_each_script_of_the_page_and_allows_no_other(run):
    text = report(run.path).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert re.findall(r"'sha256-([^']*)'", policy) == hashes
    assert len(hashes) == 2


def test_hostile_text_is_only_text(run):
    evil = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    run.update(name=evil)
    finding = {
        "check": evil,
        "severity": "error",
        "task": evil,
        "language": "en",
        "message": evil,
        "example_ids": [evil],
        "evidence": {},
    }
    write_json(run.path / "audit" / "findings.json", [finding])
    text = report(run.path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL), "Vega itself draws images"
    assert "&lt;script&gt;" in text


def test_the_page_shows_what_the_longest_answer_scores(run):
    report(run.path)
    assert "Right by length alone" not in (run.path / "report.html").read_text(encoding="utf-8")
    rules = [
        {
            "language": "th",
            "rule": rule,
            "unit": unit,
            "items": 24,
            "accuracy": 0.625,
            "low": 0.42,
            "high": 0.79,
            "chance": 0.5,
        }
        for rule in ("longest", "shortest")
        for unit in ("characters", "bytes")
    ]
    finding = {"check": "answer-length", "severity": "note", "task": "copa", "language": "", "message": "x"}
    write_json(run.path / "audit" / "findings.json", [finding | {"example_ids": [], "evidence": {"rules": rules}}])
    text = report(run.path).read_text(encoding="utf-8")
    assert "Right by length alone" in text
    assert "62.5 (42.0 to 79.0)" in text
