"""What results show in a notebook: their numbers, every text of others escaped, and little HTML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest

from spillover.core.types import Finding
from spillover.pipeline import Result
from spillover.stages.alternatives.result import Alternatives, Need, no_translations
from spillover.stages.audit.findings import Findings, by_severity
from spillover.stages.compare.stage import compare_arms
from spillover.stages.probe.lens import TopTokens, top_tokens
from spillover.stages.report.charts import Figure
from spillover.stats.summary import summarise
from spillover.sweep import SweepResult
from tests.builders import random_evaluation
from tests.stages.compare.builders import QUICK, own_answers, runs_of

HOSTILE = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;"


@pytest.fixture(scope="module")
def comparison():
    return compare_arms(runs_of(("translate", 0, 0.4), ("copy", 0, 0.0)), config=QUICK)


@pytest.fixture
def side():
    return random_evaluation(np.random.default_rng(0), ("en", "th"), 40, labels=("positive", HOSTILE))


def test_a_comparison_shows_its_headline_languages_and_groups(comparison):
    shown = comparison._repr_html_()
    assert "Does it hold: yes." in shown
    for row in comparison.languages.itertuples():
        assert f"{row.language}{'*' * row.seen}</th>" in shown
        assert f"{100 * row.accuracy_before:.1f} → {100 * row.accuracy_after:.1f}" in shown
    assert "translate beats copy" in shown
    assert "means over groups of languages" in shown
    assert len(shown) < 20_000


def test_texts_of_a_comparison_are_escaped(comparison):
    sentence = replace(comparison.verdict[1], text=f"It says {HOSTILE}.")
    verdict = (comparison.verdict[0], sentence)
    shown = replace(comparison, task=HOSTILE, verdict=verdict)._repr_html_()
    assert HOSTILE not in shown
    assert shown.count(ESCAPED) == 2


def test_a_comparison_without_a_verdict_shows_its_table(comparison):
    shown = replace(comparison, verdict=())._repr_html_()
    assert "Does it hold" not in shown
    assert "th</th>" in shown


def test_a_run_and_a_sweep_show_their_comparisons_and_pages(comparison):
    run = Result(Path(f"runs/{HOSTILE}"), Path("runs/one/report.html"), (comparison,))
    shown = run._repr_html_()
    assert "runs/one/report.html" in shown
    assert "Does it hold: yes." in shown
    assert HOSTILE not in shown
    swept = SweepResult((run, run), (comparison,), Path("runs/report.html"))._repr_html_()
    assert "page: runs/report.html" in swept
    assert swept.count("Does it hold") == 1
    assert "Does it hold: yes." in SweepResult((run,))._repr_html_()


def test_an_evaluation_shows_accuracy_and_the_usual_prediction(side):
    shown = side._repr_html_()
    scores = side.scores["th"]
    assert f"{100 * scores.hits().mean():.1f}</td>" in shown
    share = (scores.logprobs.argmax(axis=1) == 0).mean()
    assert f"{100 * max(share, 1 - share):.0f} %" in shown
    assert HOSTILE not in shown


def test_an_evaluation_of_own_answers_shows_no_prediction():
    assert "%</td>" not in own_answers(np.random.default_rng(0))._repr_html_()


def test_summaries_show_auroc_with_its_interval(side):
    summaries = summarise(side)
    shown = summaries._repr_html_()
    one = summaries[0]
    assert f"{one.auroc:.3f}</td>" in shown
    assert f"{one.auroc_low:.3f} to {one.auroc_high:.3f}" in shown
    assert HOSTILE not in shown
    assert "–" in summarise(own_answers(np.random.default_rng(0)))._repr_html_()


def test_findings_are_a_table_errors_first():
    findings = by_severity(
        [
            Finding("a-note", "note", "t", "", "fine"),
            Finding("bad", "error", HOSTILE, "de", HOSTILE, ("i1", "i2"), ceiling=0.5),
        ]
    )
    shown = findings._repr_html_()
    assert "1 error, 0 warnings, 1 note" in shown
    assert shown.index(">error<") < shown.index(">note<")
    assert ">50.0<" in shown
    assert HOSTILE not in shown
    assert "Nothing was found." in Findings()._repr_html_()


def test_the_lens_of_a_text_has_a_row_for_each_layer_the_last_first(tiny):
    top = top_tokens(tiny, "good bad")
    shown = top._repr_html_()
    assert shown.count("<tr>") == len(top["layers"]) + 1
    assert shown.index(">2</th>") < shown.index(">0</th>")
    best = top["layers"][-1]["places"][-1][0]
    assert f" {100 * best['probability']:.0f}</td>" in shown


def test_tokens_of_the_lens_are_escaped_with_their_spaces_visible():
    place = [{"token": " " + HOSTILE, "probability": 0.25}]
    shown = TopTokens(tokens=[HOSTILE], layers=[{"layer": 0, "places": [place]}])._repr_html_()
    assert HOSTILE not in shown
    assert f"·{ESCAPED}" in shown
    assert "rgba(128, 128, 128, 0.15)" in shown


def test_alternatives_show_their_verdict_and_the_rows_of_its_group():
    nan = float("nan")
    rows = pd.DataFrame(
        {
            "row": ["base", "tuned", "base"], "kind": ["reference", "trained", "reference"], "group": ["all", "all", "seen"],
            "auroc": [0.6, 0.7, 0.1], "auroc_delta": [nan, 0.1, nan], "auroc_low": [nan, 0.05, nan], "auroc_high": [nan, 0.15, nan],
            "holm_p": [nan, 0.01, nan],
        }
    )  # fmt: skip
    result = Alternatives(
        "sentiment",
        rows,
        rows,
        no_translations(),
        Need.BEATS_EVERY,
        HOSTILE,
        "all",
        "auroc",
        "",
        0.95,
        0,
        "base",
        notes=(HOSTILE,),
    )
    shown = result._repr_html_()
    assert "+0.100 (+0.050 to +0.150)" in shown
    assert "0.100</td>" not in shown.replace("+0.100", "")
    assert shown.count("<tr>") == 3
    assert shown.count(ESCAPED) == 2


def test_a_figure_is_svg_in_the_ink_of_the_page_with_ids_of_its_own():
    table = pd.DataFrame({"layer": [0, 1], "value": [0.1, 0.2], "name": [HOSTILE, "b"]})
    chart = alt.Chart(table).mark_rect().encode(x="layer:O", color="value:Q", y="name:N")
    one, other = (Figure(name, HOSTILE, chart, "What is seen.", table)._repr_html_() for name in ("one", "other"))
    assert "<svg" in one
    assert 'fill="currentColor"' in one
    assert 'fill="#000"' not in one
    assert HOSTILE not in one
    assert "What is seen." in one
    assert 'id="one-' in one
    assert 'id="one-' not in other
