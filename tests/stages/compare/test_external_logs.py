"""Two logs of another tool → comparisons. Logs that the tools wrote themselves, and ones in their shape made here."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import ConfigError, DataError
from spillover.stages.compare import compare
from spillover.stages.compare.external_logs import is_log, read_log_pairs, read_logs
from spillover.stages.compare.result import Topic
from tests.builders import write_rows

CHOICES = (" Yes", " No")
SHARED = CompareConfig(draws=50, missing_items="intersection")


def harness_row(doc, right, gold, choices=CHOICES, metric="acc", content="h"):
    answers = [["-1.0", "True"] if (i == gold) == right else ["-2.0", "False"] for i in range(2)]
    return {
        "doc_id": doc, "doc": {"premise": "x"}, "target": str(gold), "filter": "none", "metrics": [metric],
        "arguments": {f"gen_args_{i}": {"arg_0": "x", "arg_1": choice} for i, choice in enumerate(choices)},
        "resps": [[answer] for answer in answers], "filtered_resps": answers, metric: float(right),
        "doc_hash": f"{content}{doc}", "prompt_hash": "b", "target_hash": "c",
    }  # fmt: skip


def harness_folder(folder, shares, rng, n=60, task="xnli", **options):
    for code, share in shares.items():
        rows = [harness_row(doc, rng.random() < share, doc % 2, **options) for doc in range(n)]
        write_rows(folder / f"samples_{task}_{code}_2026-01-21T03-44-18.458309.jsonl", rows)
    return folder


def notes(before, after, metric=None):
    """The note sentences of the first task of two logs."""
    sides = read_log_pairs(before, after, metric=metric)[0]
    return [sentence.text for sentence in compare(*sides, config=SHARED).about(Topic.NOTE)]


def test_two_harness_runs_are_compared_with_labels_and_languages(tmp_path):
    rng = np.random.default_rng(0)
    before = read_logs(harness_folder(tmp_path / "a", {"deu_Latn": 0.5, "en": 0.6}, rng))
    after = read_logs(harness_folder(tmp_path / "b", {"de": 0.9, "en": 0.9}, rng))
    assert is_log(tmp_path / "a")
    assert [one.task for one in before] == ["xnli"]
    assert before[0].scores["de"].labels == ("Yes", "No")
    assert before[0].scores["de"].language == "de"
    found = compare(before[0], after[0], config=CompareConfig(draws=50))
    assert set(found.languages["language"]) == {"de", "en"}
    assert found.languages["auroc_after"].min() > 0.7
    assert "improved" in found.verdict[1].text


def test_choices_that_differ_give_accuracy_alone(tmp_path):
    rows = [harness_row(doc, doc % 3 > 0, doc % 2, choices=(f" a{doc}", f" b{doc}")) for doc in range(30)]
    path = write_rows(tmp_path / "samples_arc_2026-01-21T03-44-18.jsonl", rows)
    one = read_logs(path)[0]
    found = compare(one, one, config=CompareConfig(draws=50))
    assert found.languages["accuracy_after"][0] == pytest.approx(2 / 3)
    assert np.isnan(found.languages["auroc_after"][0])
    assert found.languages["reason"][0] == "no label log-probabilities"
    assert "these scores do not show the label-bias component" in str(found)


def test_every_task_of_two_harness_runs_is_compared_by_the_logged_accuracy(tool_logs):
    """The accuracies of each language are those that the harness itself reports."""
    folders = tool_logs / "lm-eval" / "before", tool_logs / "lm-eval" / "after"
    pairs = read_log_pairs(*folders)
    assert {sides[0].task for sides in pairs} == {"norm", "mutual", "words", "digits", "own", "generated"}
    for sides in pairs:
        found = compare(*sides, config=CompareConfig(draws=20)).languages.set_index("language")
        for folder, column in zip(folders, ("accuracy_before", "accuracy_after"), strict=True):
            for code, suffix in (("en", "eng_Latn"), ("de", "de")):
                [path] = folder.glob(f"samples_{sides[0].task}_{suffix}_2*.jsonl")
                rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                own = [row.get("acc", row.get("exact_match")) for row in rows if row["filter"] in ("none", "strict")]
                assert found.loc[code, column] == pytest.approx(np.mean(own))


def test_the_score_is_named_where_the_log_has_others(tool_logs):
    folders = tool_logs / "lm-eval" / "before", tool_logs / "lm-eval" / "after"
    [norm] = [sides for sides in read_log_pairs(*folders) if sides[0].task == "norm"]
    found = compare(*norm, config=SHARED)
    assert [sentence.about for sentence in found.verdict[:2]] == [Topic.HEADLINE, Topic.NOTE]
    assert found.verdict[1].text == "Both sides: by acc; the log also has acc_norm (--metric acc_norm)."
    assert notes(*(tool_logs / "inspect-ai" / "scorers.eval",) * 2, metric="includes") == [
        "Both sides: by includes; the log also has match, form_and_content/form, form_and_content/content (--metric match)."
    ]
    by_norm = read_log_pairs(*folders, metric="acc_norm")
    assert [sides[0].task for sides in by_norm] == ["norm", "own"]
    missing = "digits_de, digits_eng_Latn, generated_de, generated_eng_Latn, mutual_de, mutual_eng_Latn, words_de, words_eng_Latn"
    assert by_norm[0][0].notes[-1] == f"not compared, as they have no acc_norm: {missing}"
    with pytest.raises(ConfigError, match="no score 'bleu'"):
        read_log_pairs(*folders, metric="bleu")


@pytest.mark.parametrize("kind", ["json", "eval"])
def test_errored_samples_are_refused_with_the_reason_or_left_out_on_both_sides(tool_logs, kind):
    paths = [tool_logs / "inspect-ai" / side / f"polarity.{kind}" for side in ("before", "after")]
    [sides] = read_log_pairs(*paths)
    with pytest.raises(DataError, match=r"polarity de: 2 items only before \(4, 17\)") as refused:
        compare(*sides)
    assert refused.value.hint == (
        "after: 2 of 20 samples ended in an error and are left out: 4, 17; --missing-items intersection leaves them out"
    )
    found = compare(*sides, config=SHARED)
    assert found.languages["n"].tolist() == [18]
    assert notes(*paths) == [
        "After: 2 of 20 samples ended in an error and are left out: 4, 17.",
        "Left out in de, as one side lacks them: 2 items (4, 17).",
    ]


def test_other_items_under_the_same_ids_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    before = harness_folder(tmp_path / "a", {"de": 0.5}, rng)
    after = harness_folder(tmp_path / "b", {"de": 0.9}, rng, content="other")
    with pytest.raises(
        DataError, match=r"xnli de: 60 of 60 items have another text under the same id \(0, 1, 2, 3, 4, \.\.\.\)"
    ):
        notes(before, after)


def test_a_side_of_which_only_outcomes_are_known_is_compared_by_accuracy(tmp_path):
    rng = np.random.default_rng(0)
    before = harness_folder(tmp_path / "a", {"de": 0.5}, rng)
    rows = [harness_row(doc, True, doc % 2) | {"acc": float(doc > 9)} for doc in range(60)]
    write_rows(tmp_path / "b" / "samples_xnli_de_2026-01-21T03-44-18.458309.jsonl", rows)
    [sides] = read_log_pairs(before, tmp_path / "b")
    found = compare(*sides, config=SHARED)
    assert found.languages["accuracy_after"].tolist() == pytest.approx([50 / 60])
    assert np.isnan(found.languages["auroc_before"][0])
    assert found.about(Topic.NOTE)[0].text.startswith("After: in 10 of 60 items the labels' log-probabilities")


def test_other_prompts_for_the_same_items_are_said(tmp_path):
    rng = np.random.default_rng(0)
    before = harness_folder(tmp_path / "a", {"de": 0.5, "en": 0.5}, rng)
    after = harness_folder(tmp_path / "b", {"de": 0.5}, rng)
    rows = [harness_row(doc, True, doc % 2) | {"prompt_hash": "b" if doc < 20 else "with shots"} for doc in range(60)]
    write_rows(after / "samples_xnli_en_2026-01-21T03-44-18.458309.jsonl", rows)
    assert notes(before, after) == ["Both sides: 40 of 120 prompts differ: other shots, wording or chat template."]


def test_sides_and_languages_by_different_scores_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    by_acc = harness_folder(tmp_path / "a", {"de": 0.5}, rng)
    by_match = harness_folder(tmp_path / "b", {"de": 0.5}, rng, metric="exact_match")
    with pytest.raises(
        DataError, match=r"xnli: .*a is read by acc, .*b by exact_match \(choose one of both with --metric\)"
    ):
        read_log_pairs(by_acc, by_match)
    for name, used in (("c", "strict"), ("d", "flexible"), ("e", "none")):
        rows = [harness_row(doc, True, 0, metric="exact_match") | {"filter": used} for doc in range(9)]
        write_rows(tmp_path / name / "samples_xnli_de.jsonl", rows)
    with pytest.raises(DataError, match=r"c is read by exact_match,strict, .*d by exact_match,flexible"):
        read_log_pairs(tmp_path / "c", tmp_path / "d")
    assert notes(tmp_path / "c", tmp_path / "e") == ["Before: by exact_match,strict."]
    harness_folder(by_acc, {"en": 0.5}, rng, metric="exact_match")
    with pytest.raises(DataError, match="xnli is scored in de by acc, en by exact_match"):
        read_logs(by_acc)


def test_notes_of_one_language_and_tasks_of_one_log_are_said(tmp_path):
    rng = np.random.default_rng(0)
    before = harness_folder(tmp_path / "a", {"de": 0.5, "en": 0.5}, rng)
    harness_folder(before, {"de": 0.5}, rng, task="paws")
    after = harness_folder(tmp_path / "b", {"en": 0.5}, rng)
    rows = [harness_row(doc, True, doc % 2) for doc in range(60)]
    rows[7]["acc"] = None
    write_rows(after / "samples_xnli_de_2026-01-21T03-44-18.458309.jsonl", rows)
    assert notes(before, after) == [
        "Before: not compared, as the other side lacks them: paws.",
        "After: de: 1 of 60 samples has no acc and is left out: 7.",
        "Left out in de, as one side lacks them: 1 item (7).",
    ]
    with pytest.raises(DataError, match=r"a has paws, xnli, .*c has pawsx"):
        read_log_pairs(before, harness_folder(tmp_path / "c", {"de": 0.5}, rng, task="pawsx"))


def test_label_scores_of_a_log_have_no_token_counts(tmp_path):
    one = read_logs(harness_folder(tmp_path / "a", {"de": 0.5}, np.random.default_rng(0)))[0]
    with pytest.raises(DataError, match="de: the log does not say how many tokens its labels have"):
        compare(one, one, config=CompareConfig(length="token"))


def test_what_is_no_log_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: no samples found"):
        read_logs(tmp_path / "none.jsonl")
    folder = harness_folder(tmp_path / "a", {"de": 0.5}, np.random.default_rng(0))
    harness_folder(folder / "again", {"de": 0.5}, np.random.default_rng(0))
    with pytest.raises(DataError, match="duplicate xnli de"):
        read_logs(folder)
    (tmp_path / "z.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"z\.json: broken JSON: nested too deep"):
        read_logs(tmp_path / "z.json")
    (tmp_path / "samples_z.jsonl").write_bytes(b'{"doc_id": "' + b"x" * (17 << 20) + b'"}')
    with pytest.raises(DataError, match=r"samples_z\.jsonl:1: a line of more than 16 MB"):
        read_logs(tmp_path / "samples_z.jsonl")
