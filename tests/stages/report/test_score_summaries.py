"""Summaries of evaluations, with what their items cost in tokens."""

from __future__ import annotations

from dataclasses import replace

from spillover.stages.report.run_tables import read_all_evaluations
from spillover.stages.report.score_summaries import summaries, summary_tables


def test_each_evaluation_has_a_row_per_language_with_tokens(whole_run):
    evaluations = read_all_evaluations(whole_run)
    tables = summary_tables(evaluations, summaries(evaluations))
    assert [table["model"] for table in tables] == ["base", "tuned"]
    assert [row["language"] for row in tables[0]["rows"]] == ["en", "de", "ru", "th"]
    assert set(tables[0]["rows"][0]["label_tokens"]) == {"no", "yes"}
    assert tables[0]["rows"][0]["tokens"] > 0


def test_a_steered_model_is_named_with_its_intervention(whole_run):
    evaluations = read_all_evaluations(whole_run)
    folder, evaluation = next(iter(evaluations.items()))
    steered = {folder: replace(evaluation, model=replace(evaluation.model, name="m", steer="incline"))}
    (table,) = summary_tables(steered, summaries(steered))
    assert table["name"] == "m, steered by incline"
