from __future__ import annotations

import pytest

from spillover.core.config import AuditThresholds
from spillover.core.errors import ModelError, RunError
from spillover.core.files import read_jsonl
from spillover.core.languages import language
from spillover.core.runs import open_run
from spillover.core.types import Example, no_progress
from spillover.stages.translate.batches import TranslatedRow
from spillover.stages.translate.output import check_folder, questions_hash, write_output
from spillover.tasks.wording import load_task

QUESTIONS = [
    Example(f"q{i}", "en", {"review": f"The {noun} is good."}) for i, noun in enumerate(("mug", "lamp", "shoe"))
]


def rows(code, bad=()):
    return [
        (
            TranslatedRow(row.id, {}, problem="review: empty: x" if row.id in bad else ""),
            Example(row.id, code, row.fields),
        )
        for row in QUESTIONS
    ]


def write(folder, languages, *, pairwise=False):
    run = open_run(folder / "translate")
    stage = {"state": "done", "settings": {"questions": "q", "translator": "f", "config": {}, "checks": {}}}
    facts = {"translator": "m", "prompt": ""}
    run.update(stages={f"sentiment/{code}": stage | {"facts": facts} for code in languages})
    return write_output(
        run, load_task("sentiment"), QUESTIONS, languages, questions_file=folder / "my.jsonl", pairwise=pairwise,
        thresholds=AuditThresholds(), progress=no_progress,
    )  # fmt: skip


def ids(result, code):
    return [row["id"] for _, row in read_jsonl(result.folder / f"{code}.jsonl")]


def test_a_row_is_left_out_everywhere_or_pairwise(tmp_path):
    languages = {"de": rows("de", bad=("q0",)), "sw": rows("sw", bad=("q1",))}
    everywhere = write(tmp_path / "one", languages)
    assert {code: ids(everywhere, code) for code in ("en", "de", "sw")} == {
        "en": ["q2"],
        "de": ["q2"],
        "sw": ["q2"],
    }
    pairwise = write(tmp_path / "two", languages, pairwise=True)
    assert ids(pairwise, "en") == ["q0", "q1", "q2"]
    assert (ids(pairwise, "de"), ids(pairwise, "sw")) == (["q1", "q2"], ["q0", "q2"])


def test_no_row_that_is_good_everywhere_is_an_error(tmp_path):
    languages = {"de": rows("de", bad=("q0", "q2")), "sw": rows("sw", bad=("q1",))}
    with pytest.raises(ModelError, match="none of 3 rows is good in every language; left out: de 2, sw 1"):
        write(tmp_path, languages)
    assert not (tmp_path / "sentiment").exists()


def test_what_was_written_here_may_be_written_again_and_nothing_else(tmp_path):
    task, codes = load_task("sentiment"), [language("en"), language("de")]
    result = write(tmp_path, {"de": rows("de")})
    run = open_run(tmp_path / "translate")
    check_folder(run, tmp_path, task, codes, questions="q")
    with pytest.raises(RunError, match="other questions"):
        check_folder(run, tmp_path, task, codes, questions="r")
    (result.folder / "de.jsonl").rename(result.folder / "deu_Latn.jsonl")
    with pytest.raises(RunError, match="not made by this translation"):
        check_folder(run, tmp_path, task, codes, questions="q")


def test_half_a_file_of_a_killed_process_is_removed(tmp_path):
    half = tmp_path / "sentiment" / "train" / "de.jsonl.1.partial"
    half.parent.mkdir(parents=True)
    half.touch()
    write(tmp_path, {"de": rows("de")})
    assert not half.exists()


def test_questions_are_the_same_in_whatever_file_they_are():
    assert questions_hash(QUESTIONS) == questions_hash(list(QUESTIONS))
    assert questions_hash(QUESTIONS) != questions_hash(QUESTIONS[:2])
