"""`spillover compare` and `evaluate --scores` on tables that are there: what is refused, what is undefined, in one line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.evaluate.score_tables import facts_of, read_scores, write_scores
from spillover.stats.calibration import normalised
from tests.builders import table
from tests.cli.test_cli import call

__all__ = ["call"]
CODES = ("en", "de", "th")


@pytest.fixture
def run(tmp_path):
    """A run with both sides evaluated: 40 items in three languages."""
    return made_run(tmp_path / "run")


def made_run(folder, *, arm="translate", seed=0, task="sentiment", gain=0.5):
    rng, gold = np.random.default_rng(seed), np.arange(40) % 2
    made = open_run(folder)
    stages = {
        "build": {"settings": {"arm": arm}, "facts": {"languages": ["de"]}},
        "train": {"settings": {"seed": seed}},
    }
    made.update(stages=stages)
    for name, skill in (("base", 0.5), ("tuned", 0.5 + gain)):
        evaluation = Evaluation(ModelRef(name, None, None, name), task, "english", name, {})
        for code in CODES:
            logits = rng.normal(0, 1, (40, 2))
            logits[np.arange(40), gold] += skill
            scores = replace(table(normalised(logits), gold, ("positive", "negative")), language=code)
            write_scores(folder / "evaluate" / name / task / f"{code}.parquet", scores, facts_of(evaluation))
    return folder


def spoil(run, change, *, sides=("tuned",), codes=("de",)):
    """Write tables anew, changed."""
    for side in sides:
        for code in codes:
            path = run / "evaluate" / side / "sentiment" / f"{code}.parquet"
            scores, facts = read_scores(path)
            write_scores(path, change(scores), facts)


def take(scores, places):
    places = list(places)
    return replace(
        scores, example_ids=tuple(scores.example_ids[i] for i in places), gold=scores.gold[places],
        logprobs=scores.logprobs[places], tokens=scores.tokens[places], label_tokens=scores.label_tokens[places],
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
    assert "sentiment, 2 far languages: accuracy" in " ".join(output.split())
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
    assert "Over 2 seeds accuracy" in output
    assert "All languages, translate against copy: accuracy" in output
    assert "with the standard error of items" in output


def test_scores_are_summarised_without_a_model_under_every_rule(run, call):
    folder = run / "evaluate" / "tuned" / "sentiment"
    code, output, _ = call("evaluate", "--scores", folder)
    assert code == 0
    assert "positive, negative: % of answers given (% of gold)" in output
    assert max(map(len, output.splitlines())) <= 100
    rows = json.loads(call("evaluate", "--scores", folder, "--json")[1])
    assert [row["language"] for row in rows] == list(CODES)
    scores, _ = read_scores(folder / "en.parquet")
    assert rows[0]["accuracy"] == pytest.approx((scores.logprobs.argmax(1) == scores.gold).mean())
    plain = json.loads(call("evaluate", "--scores", folder, "--json", "--calibration", "none")[1])
    assert plain[0]["calibrated_accuracy"] == pytest.approx(plain[0]["accuracy"])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert call("evaluate", "--scores", folder, "--length", "token")[0] == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--scores", "{run}"), 3, "no scores here"),
        (("--scores", "{folder}", "--out", "{run}"), 2, "leave --out away"),
        (("--scores", "{folder}", "--calibration", "pmi"), 3, "no scores for pmi calibration"),
        (("--scores", "{folder}", "--calibration", "prior"), 2, "is not one of 'none', 'batch', 'contextual', 'pmi'"),
        (("--scores", "{folder}", "--length", "byte"), 3, "no byte lengths"),
    ],
)
def test_scores_that_cannot_be_summarised(arguments, code, message, run, call):
    folder = run / "evaluate" / "tuned" / "sentiment"
    found = call("evaluate", *(argument.format(run=run, folder=folder) for argument in arguments))
    assert found[0] == code
    assert message in found[2]
