"""Curves of a training, from steps.jsonl alone."""

from __future__ import annotations

import json

import pytest

from spillover.core.errors import DataError
from spillover.core.runs import open_run
from spillover.stages.report import report
from spillover.stages.report.charts import svg
from spillover.stages.report.figures.training_figures import evaluation_table, limit_of, training_figures


def snapshot(step, english, unseen, stop=None, mexa=(0.2, 0.4)):
    languages = [("en", "english", english, None), ("th", "unseen", unseen, mexa[0]), ("sw", "unseen", 0.5, mexa[1])]
    rows = [
        {"language": code, "group": group, "n": 8, "auroc": auroc, "calibrated_accuracy": 0.5, "mexa": aligned}
        for code, group, auroc, aligned in languages
    ]
    guard = {"before": 0.86, "margin": 0.02} if step else None
    return {"step": step, "watch": rows, "guard": guard, "stop": stop}


@pytest.fixture
def snapshots():
    return [snapshot(0, 0.86, 0.6), snapshot(10, 0.85, 0.7), snapshot(20, 0.7, 0.8, stop="English fell <b>")]


def test_groups_are_means_over_their_languages(snapshots):
    table = evaluation_table(snapshots).set_index(["measure", "group", "step"])["value"]
    assert table["AUROC", "unseen", 10] == pytest.approx(0.6)
    assert table["AUROC", "English", 20] == 0.7
    assert table["MEXA", "unseen", 0] == pytest.approx(0.3)
    assert ("MEXA", "English", 0) not in table.index
    assert limit_of(snapshots) == pytest.approx(0.84)
    assert limit_of(snapshots[:1]) is None


def test_the_page_shows_loss_evaluation_limit_and_why_it_stopped(snapshots, tmp_path):
    run = open_run(tmp_path / "run")
    run.update(name="watched")
    path = run.path / "train" / "steps.jsonl"
    path.parent.mkdir()
    rows = [*snapshots, *({"step": i, "loss": 3 / i} for i in range(1, 21))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loss, evaluation = training_figures(path)
    assert (loss.name, evaluation.name) == ("training-loss", "training-evaluation")
    drawn = svg(evaluation.chart)
    assert all(word in drawn for word in ("AUROC", "calibrated accuracy", "MEXA", "English's limit", "unseen"))
    assert len(loss.table) == 20
    text = report(run.path).read_text(encoding="utf-8")
    assert text.count('class="plot"') == 2
    assert "Step 20: English fell &lt;b&gt;" in text
    assert training_figures(tmp_path / "nowhere") == []


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "steps.jsonl"
    path.write_text('{"loss": 1}\n')
    with pytest.raises(DataError, match=r"steps\.jsonl: damaged"):
        training_figures(path)
