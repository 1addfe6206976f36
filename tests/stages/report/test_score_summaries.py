"""Summaries of evaluations, with what their items cost in tokens."""

from __future__ import annotations

from spillover.stages.report.run_tables import read_all_evaluations
from spillover.stages.report.score_summaries import summaries, summary_tables


def test_each_evaluation_has_a_row_per_language_with_tokens(whole_run):
    evaluations = read_all_evaluations(whole_run)
    tables = summary_tables(evaluations, summaries(evaluations))
    assert [table["model"] for table in tables] == ["base", "tuned"]
    assert [row["language"] for row in tables[0]["rows"]] == ["en", "de", "ru", "th"]
    assert set(tables[0]["rows"][0]["label_tokens"]) == {"no", "yes"}
    assert tables[0]["rows"][0]["tokens"] > 0
