"""Each kind of task through every stage: what works for it, and one line where something does not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from spillover.core.config import BuildConfig, RunConfig, load_config
from spillover.core.errors import ConfigError, DataError
from spillover.core.runs import open_run
from spillover.pipeline import probe_benchmark, run, training_evaluation
from spillover.stages.build.stage import build_pairs
from spillover.stages.compare import compare_run
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.stage import probe
from spillover.stages.report import report
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, kind_task, make_model, save_model, small_data, write_rows

KINDS = {"reading": "choices", "agreement": "pairs"}


def opened(task, **options):
    return open_benchmark(kind_task(task), data=KIND_DATA, **options)


@pytest.mark.parametrize("task", ["reading", "agreement", "letters"])
def test_two_models_are_compared_and_reported(task, tmp_path):
    for name, seed in (("base", 0), ("tuned", 1)):
        evaluate(make_model(seed=seed), opened(task), out=tmp_path, name=name)
    (comparison,) = compare_run(open_run(tmp_path), seen=["de"] if task != "letters" else [])
    languages = pd.read_parquet(tmp_path / "compare" / "languages.parquet")
    clusters = 2 if task == "agreement" else 4
    assert (languages["clusters"] == clusters).all()
    assert languages["auroc_delta"].isna().all() == (task != "letters")
    page = report(tmp_path).read_text(encoding="utf-8")
    assert f"Intervals and tests resample {clusters} clusters" in page
    assert "Clusters a language" in page
    if task in KINDS:
        assert f"label bias and AUROC are not defined for {KINDS[task]}" in page
        assert "Mean accuracy by length rule: summed" in page
        assert f"{task} ({KINDS[task]})" in page
    assert comparison.task == task


def train_data(tmp_path, labelled):
    for code, texts in (("en", ("A red cup stands there.", "Ships come at night.")), ("de", ("Eine rote Tasse steht da.", "Schiffe kommen nachts."))):  # fmt: skip
        rows = [{"id": f"t{i}", "passage": text, "question": f"{text}?"} for i, text in enumerate(texts)]
        rows = [row | ({"choices": ["x", f"y {code}"], "label": 1} if labelled else {}) for row in rows]
        for split in ("train", "test"):
            of_split = [row | {"id": f"{split}-{row['id']}", "question": f"{split} {row['question']}"} for row in rows]
            if split == "train" or labelled:
                write_rows(tmp_path / "reading" / split / f"{code}.jsonl", of_split)
    return str(tmp_path)


@pytest.mark.parametrize("arm", ["translate", "shuffled", "copy", "template"])
def test_questions_of_choices_become_pairs(arm, tmp_path):
    benchmark = open_benchmark(kind_task("reading"), data=train_data(tmp_path, labelled=False), required_split="train")
    pairs = build_pairs(benchmark, languages=["de"], config=BuildConfig(arm=arm))
    assert len(pairs) == 2
    if arm == "translate":
        assert all(pair.completion.endswith("Answer:") for pair in pairs)
        assert all("Frage: " in pair.prompt for pair in pairs)


def test_the_labelled_arm_of_choices_holds_their_right_answers(tmp_path):
    benchmark = open_benchmark(kind_task("reading"), data=train_data(tmp_path, labelled=True))
    pairs = build_pairs(benchmark, languages=["de"], config=BuildConfig(arm="labelled"))
    assert {pair.completion for pair in pairs} == {" y en"}
    assert all("Answer: y en\n\n" in pair.prompt for pair in pairs)


def test_pairs_have_nothing_to_translate():
    with pytest.raises((ConfigError, DataError), match="not defined for pairs"):
        build_pairs(opened("agreement"), languages=["de"])


@pytest.mark.parametrize("task", KINDS)
def test_probe_and_in_training_evaluation_say_why_not(task, tmp_path, tiny, caplog):
    with pytest.raises(ConfigError, match=f"probe: not defined for {KINDS[task]} .{task}.: the lens looks for label"):
        probe(open_run(tmp_path), tiny, opened(task), name="base")
    config = RunConfig(tasks=[kind_task(task)], data=KIND_DATA, train={"eval_every": 5})
    with pytest.raises(ConfigError, match=f"train.eval_every: not defined for {KINDS[task]}"):
        training_evaluation(config, [opened(task)], ["de"])
    with caplog.at_level("INFO"):
        assert probe_benchmark(config, [opened(task)]) is None
    assert "not probed: not defined for" in caplog.text


def test_the_first_task_with_labels_is_probed():
    letters = opened("letters")
    config = RunConfig(tasks=["reading", "letters"], data=KIND_DATA)
    assert probe_benchmark(config, [opened("reading"), letters]) is letters


def test_flips_on_the_page_are_those_of_the_headline(tmp_path):
    """A task read per byte: what the page calls newly correct is so per byte."""
    for name, seed in (("base", 0), ("tuned", 3)):
        evaluate(make_model(seed=seed), opened("reading"), out=tmp_path, name=name)
    compare_run(open_run(tmp_path), seen=[])
    table = pd.read_parquet(tmp_path / "compare" / "languages.parquet")
    from spillover.stages.evaluate.score_tables import read_evaluation
    from spillover.stages.report.flips import flipped_items

    sides = [
        (folder, read_evaluation(folder))
        for name in ("base", "tuned")
        for folder in [tmp_path / "evaluate" / name / "reading"]
    ]
    flips = flipped_items(*sides)
    assert flips["labels"] == ["0", "1", "2", "3"]
    assert sum(row["newly_correct"] for row in flips["rows"]) == int(table["gained"].sum())
    assert all(len(row["before"]) == 4 for row in flips["rows"])
    assert np.isfinite(json.loads(json.dumps([row["after"] for row in flips["rows"]]))).all()


def test_languages_with_items_of_their_own_are_compared(tmp_path):
    """The mean over languages that share no item has the error of all their items."""
    folder = shutil.copytree(kind_task("agreement"), tmp_path / "agreement")
    with (folder / "task.yaml").open("a", encoding="utf-8") as file:
        file.write("parallel: false\n")
    for code, n in (("en", 8), ("de", 5)):
        rows = [{"id": f"{code}-{i}", "choices": [f"Sie sehen {i}.", f"Sie sieht {i}."], "label": 0} for i in range(n)]
        write_rows(tmp_path / "data" / "agreement" / "test" / f"{code}.jsonl", rows)
    benchmark = open_benchmark(str(folder), data=str(tmp_path / "data"))
    for name, seed in (("base", 0), ("tuned", 2)):
        evaluate(make_model(seed=seed), benchmark, out=tmp_path / "run", name=name)
    (comparison,) = compare_run(open_run(tmp_path / "run"), seen=[])
    assert comparison.languages.set_index("language")["n"].to_dict() == {"en": 8, "de": 5}
    general = comparison.group_change("all", "accuracy")
    assert general.n == 13
    assert general.delta == pytest.approx(comparison.languages["accuracy_delta"].mean())


def test_a_run_of_choices_and_pairs_goes_through_every_stage_but_the_probe(tmp_path):
    """Trained on question translations of a task with labels, evaluated on choices and on pairs."""
    save_model(tmp_path / "model")
    small_data(tmp_path / "data")
    shutil.copytree(KIND_DATA, tmp_path / "data", dirs_exist_ok=True)
    config = load_config(
        model__name=str(tmp_path / "model"), model__dtype="float32", model__device="cpu", data=str(tmp_path / "data"),
        tasks=[kind_task("reading"), kind_task("agreement")], build__task="sentiment", build__sources=["de"],
        train__epochs=4, train__batch=2, train__learning_rate=1e-2, train__validation=0.0, compare__draws=50,
        audit__stop=False,
    )  # fmt: skip
    result = run(config, tmp_path / "run")
    assert [comparison.task for comparison in result.comparisons] == ["agreement", "reading"]
    stages = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["stages"]
    assert {stage["state"] for stage in stages.values()} == {"done"}
    assert not [name for name in stages if name.startswith("probe")]
    assert "Clusters a language" in result.page.read_text(encoding="utf-8")
