from __future__ import annotations

from spillover.core.config import CompareConfig
from spillover.core.runs import existing_run
from spillover.stages.compare import compare_run
from spillover.stages.compare.result import Topic
from spillover.stages.report.content import page_content
from spillover.stages.report.stage import report
from tests.cli.builders import made_run

QUICK = CompareConfig(draws=50)


def test_notes_come_first_among_the_warnings_and_not_again_among_the_sentences(tmp_path):
    run = existing_run(made_run(tmp_path / "run"))
    base, tuned = (run.path / "evaluate" / name / "sentiment" for name in ("base", "tuned"))
    for path in tuned.iterdir():
        path.write_bytes((base / path.name).read_bytes())
    (comparison,) = compare_run(run, config=QUICK)
    (note,) = comparison.about(Topic.NOTE)
    assert "Every score is the same number" in note.text
    (part,) = page_content([run])["tasks"]
    assert part["warnings"][0].text == note.text
    assert note.text not in part["sentences"]
    assert part["headline"]["claim"].startswith("training on German improves sentiment")


def test_a_run_that_was_not_compared_has_no_tasks_and_says_what_is_missing(tmp_path):
    content = page_content([existing_run(made_run(tmp_path / "run"))])
    assert content["tasks"] == []
    assert content["all_tasks"] == []
    assert any(text.startswith("compare: ") for text, _ in content["missing"])


def test_several_tasks_are_one_table_with_what_got_worse_first(tmp_path):
    made_run(tmp_path / "run", gain=3)
    run = existing_run(made_run(tmp_path / "run", task="nli", gain=-3))
    compare_run(run, config=QUICK)
    rows = page_content([run])["all_tasks"]
    assert [(row["task"], row["verdict"]) for row in (rows[0], rows[-1])] == [
        ("nli", "got worse"),
        ("sentiment", "improved"),
    ]
    assert "English" in {row["group"] for row in rows}
    page = report(run.path).read_text(encoding="utf-8")
    assert '<section id="all-tasks">' in page
    compare_run(run, tasks=["nli"], config=QUICK)
    assert "all-tasks" not in report(run.path).read_text(encoding="utf-8")
