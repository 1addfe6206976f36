"""Tables that cannot be compared are refused in one line; what is undefined is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.cli.builders import CODES, made_run, spoil


def take(scores, indices):
    indices = list(indices)
    return replace(
        scores, example_ids=tuple(scores.example_ids[i] for i in indices), gold=scores.gold[indices],
        logprobs=scores.logprobs[indices], tokens=scores.tokens[indices], label_tokens=scores.label_tokens[indices],
    )  # fmt: skip


REFUSED = {
    "other items": (lambda own: take(own, range(30)), "run: sentiment de: 10 items only before (i30, "),
    "one id twice": (
        lambda own: replace(own, example_ids=("i1", *own.example_ids[1:])),
        "run: after, sentiment de: 1 duplicate ids: i1",
    ),
    "an empty language": (lambda own: take(own, ()), "run: after, sentiment de: no items"),
    "other gold": (lambda own: replace(own, gold=1 - own.gold), "run: sentiment de: the two sides' gold labels differ"),
    "non-finite scores": (
        lambda own: replace(own, logprobs=np.full_like(own.logprobs, np.nan)),
        "run: after, sentiment de: 40 items have non-finite scores: i0, ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_paired_is_refused_in_one_line_with_the_run(case, run, call):
    change, message = REFUSED[case]
    spoil(run, change)
    code, output, error = call("compare", run, "--draws", "20")
    assert (code, output) == (3, "")
    assert message in error
    assert [line[:7] for line in error.splitlines()] == ["error: ", "  try: "]
    assert not (run / "compare" / "verdict.json").exists()


def test_other_tasks_and_missing_languages_are_refused(run, tmp_path, call):
    other = made_run(tmp_path / "other", task="nli")
    code, _, error = call("compare", run, other, "--draws", "20")
    assert code == 3
    assert "other: sentiment was not evaluated there on both sides" in error
    assert "run: given twice" in call("compare", run, run)[2]
    (run / "evaluate" / "tuned" / "sentiment" / "th.parquet").unlink()
    code, _, error = call("compare", run, "--draws", "20")
    assert code == 3
    assert "run: sentiment: 1 language only before (th)" in error
    assert call("compare", run, "--draws", "20", "--missing-items", "intersection")[0] == 0


@pytest.mark.parametrize("broken", ["a column", "a label", "the file"])
def test_a_damaged_table_is_named(broken, run, call):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run / "evaluate" / "tuned" / "sentiment" / "de.parquet"
    whole = pq.read_table(path)
    if broken == "the file":
        path.write_bytes(b"PAR1")
    elif broken == "a column":
        pq.write_table(whole.drop_columns(["logprob_positive"]), path)
    else:
        gold = pa.array(["mixed"] * len(whole))
        pq.write_table(whole.set_column(whole.schema.get_field_index("gold"), "gold", gold), path)
    for arguments in (("compare", run), ("evaluate", "--scores", path.parent)):
        code, _, error = call(*arguments)
        assert code == 3
        assert "tuned/sentiment/de.parquet: not a table of label scores" in error


def test_one_item_is_no_test_with_a_reason(run, call):
    spoil(run, lambda own: take(own, [0]), sides=("base", "tuned"), codes=CODES)
    code, output, _ = call("compare", run, "--draws", "20")
    assert code == 0
    assert "It cannot be tested" in output
    assert "Some numbers are undefined in all languages: one item has no spread." in output
    assert "nan" not in output
    rows = json.loads(call("compare", run, "--draws", "20", "--json")[1])[0]["languages"]
    assert {row["verdict"] for row in rows} == {"undefined"}
    assert {row["holm_p"] for row in rows} == {None}


def test_constant_predictions_are_reported(run, call):
    spoil(run, lambda own: replace(own, logprobs=np.full_like(own.logprobs, -1)), codes=CODES)
    output = " ".join(call("compare", run, "--draws", "20")[1].split())
    assert (
        "Constant predictions, so that accuracy is the share of the predicted label (after: a tie in all 3)." in output
    )
    spoil(run, lambda own: replace(own, logprobs=np.full_like(own.logprobs, -1)), sides=("base",), codes=CODES)
    output = " ".join(call("compare", run, "--draws", "20")[1].split())
    assert "both sides rank the items alike, so AUROC's change has no interval" in output


def test_own_groups_and_their_mistakes(run, call):
    code, output, _ = call("compare", run, "--draws", "20", "--set", "compare.groups={far: [de, th]}")
    assert code == 0
    assert "sentiment, 2 far languages: AUROC" in " ".join(output.split())
    code, _, error = call("compare", run, "--draws", "20", "--set", "compare.groups={far: [xx], near: []}")
    assert code == 2
    assert "compare.groups.far: xx is not compared" in error
    assert "compare.groups.near: no languages" in error


def test_placebo_arms_and_seeds_by_their_manifests(tmp_path, call):
    runs = [
        made_run(tmp_path / f"{arm}-{seed}", arm=arm, seed=seed) for arm in ("translate", "copy") for seed in (0, 1)
    ]
    code, output, _ = call("compare", *runs, "--draws", "20")
    output = " ".join(output.split())
    assert code == 0
    assert "Over 2 seeds AUROC" in output
    assert "All languages, translate against copy: AUROC" in output
    assert "with the standard error of items" in output


def test_two_logs_are_compared_with_what_to_know_of_them(tool_logs, call):
    paths = [tool_logs / "inspect-ai" / side / "polarity.eval" for side in ("before", "after")]
    code, output, error = call("compare", *paths, "--draws", "20")
    assert (code, output) == (3, "")
    assert "error: polarity de: 2 items only before (4, 17)" in error
    assert "try: after: 2 of 20 samples ended in an error and are left out: 4, 17; --missing-items inter" in error
    code, output, _ = call("compare", *paths, "--draws", "20", "--missing-items", "intersection")
    assert code == 0
    text = " ".join(output.split())
    first = text.index("Note: After: 2 of 20 samples ended in an error and are left out: 4, 17.")
    second = text.index("Note: Left out in de, as one side lacks them: 2 items (4, 17).")
    assert first < second < text.index("95 % interval Holm p")
    assert text.count("ended in an error") == 1
    plain = json.loads(call("compare", *paths, "--draws", "20", "--missing-items", "intersection", "--json")[1])[0]
    assert [row["about"] for row in plain["verdict"][:4]] == ["headline", "note", "note", "change"]


def test_a_score_that_the_log_lacks_is_named_with_those_it_has(tool_logs, call):
    folders = [tool_logs / "lm-eval" / side for side in ("before", "after")]
    code, _, error = call("compare", *folders, "--metric", "f1")
    assert code == 2
    assert "no score 'f1'" in error
    assert "try: --metric takes acc" in error


@pytest.fixture
def suite(tmp_path):
    """A run of two tasks: sentiment improved, nli broke."""
    made_run(tmp_path / "suite", gain=3)
    return made_run(tmp_path / "suite", task="nli", gain=-3)


def test_a_suite_fails_with_code_3_after_its_results(suite, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, output, error = call("compare", suite, "--draws", "20", "--fail-on", "worse")
    assert (code, error) == (3, "")
    *_, wrote, last = output.splitlines()
    assert last.startswith("--fail-on worse: failed; got worse: nli ")
    assert wrote == f"wrote {suite / 'compare'}"
    lines = output.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("all tasks ")) :]
    assert table[1].startswith("got worse ")
    assert any(line.startswith("improved ") and line.endswith("sentiment: all") for line in table)
    assert max(map(len, table[: table.index(wrote)])) <= 80
    assert call("compare", suite, "--draws", "20")[0] == 0


def test_a_failed_suite_as_json_stays_json(suite, call):
    code, output, error = call("compare", suite, "--draws", "20", "--fail-on", "not-shown", "--json")
    assert code == 3
    assert error.startswith("--fail-on not-shown: failed; got worse: nli ")
    rows = {one["task"]: one["all_tasks"] for one in json.loads(output)}
    assert {row["verdict"] for row in rows["nli"]} == {"got worse"}
    assert {row["verdict"] for row in rows["sentiment"]} == {"improved"}
    code, output, error = call("compare", suite, "--draws", "20", "--fail-on", "worse", "--latex")
    assert (code, "tabular" in output, error.count("\n")) == (3, True, 1)


def test_one_task_passes_or_fails_without_a_table_of_all_tasks(tmp_path, call):
    improved, kept = made_run(tmp_path / "improved", gain=3), made_run(tmp_path / "kept", gain=0)
    code, output, _ = call("compare", improved, "--draws", "20", "--fail-on", "not-shown")
    assert code == 0
    assert output.splitlines()[-1].startswith("--fail-on not-shown: passed; ")
    assert "all tasks" not in output
    code, output, _ = call("compare", kept, "--draws", "20", "--fail-on", "not-shown", "--json")
    assert code == 3
    assert json.loads(output)[0]["all_tasks"] is None
    assert call("compare", kept, "--draws", "20", "--fail-on", "worse")[0] == 0


def test_logs_of_another_tool_can_be_a_suite(tool_logs, call):
    folders = [tool_logs / "lm-eval" / side for side in ("before", "after")]
    code, output, _ = call("compare", *folders, "--draws", "20", "--fail-on", "not-shown")
    assert code == 3
    assert "Not listed: single languages without a shown change" in " ".join(output.split())
    assert output.splitlines()[-1].startswith("--fail-on not-shown: failed; not shown to improve: ")


def test_the_primary_measure_is_shown_with_when_it_was_chosen(run, call):
    output = call("compare", run, "--draws", "20")[1]
    assert "Measured by:   AUROC, chosen after scoring." in output
    assert "sentiment, all 3 languages: AUROC 0." in " ".join(output.split())
    plain = json.loads(call("compare", run, "--draws", "20", "--primary", "calibrated", "--json")[1])[0]
    assert (plain["primary"], plain["chosen"]) == ("calibrated", "chosen after scoring")
    assert "Holm's p is of the primary measure, AUROC" in call("compare", run, "--draws", "20", "--latex")[1]


def test_a_plan_by_auroc_from_numbers(call):
    code, output, _ = call("compare", "--plan", "--items", "500", "--auroc", "0.70,0.75")
    assert code == 0
    assert "by AUROC" in output
    assert "independent" in output
    related = call("compare", "--plan", "--items", "500", "--auroc", "0.70,0.75", "--correlation", "0.5")[1]
    assert "independent" not in related
    code, _, error = call("compare", "--plan", "--primary", "auroc", "--items", "500", "--accuracy", "0.7,0.8")
    assert code == 2
    assert "--plan --primary auroc wants --items and --auroc" in error


def test_a_plan_cannot_fail(call):
    code, _, error = call("compare", "--plan", "--items", "500", "--discordance", "0.1", "--fail-on", "worse")
    assert code == 2
    assert "--plan and --fail-on are mutually exclusive" in error
