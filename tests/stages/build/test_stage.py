"""Pairs from a benchmark's training questions, and the stage of a run."""

from __future__ import annotations

import json
import shutil

import pytest

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import resources
from spillover.core.runs import open_run
from spillover.stages.build import build_pairs, build_run
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task
from tests.builders import small_data, write_rows


def test_both_sides_are_the_evaluations_own_template():
    pairs = build_pairs("sentiment", languages=["es"], seed=0)
    pair = next(pair for pair in pairs if pair.id == "sentiment-train-01:es-en")
    question, instruction = pair.prompt.split("\nTranslate the input from Spanish to English:\n")
    assert instruction == ""
    assert question.startswith("Reseña: ")
    assert question.endswith('\nSentimiento: "')
    assert pair.completion == 'Review: The umbrella turned inside out in the first gust of wind.\nSentiment: "'


def test_pairs_end_where_prompts_end():
    task = load_task("sentiment")
    from spillover.tasks.examples import load_parallel

    example = load_parallel("demo", task, "train", ["en"])["en"][0]
    body = render(task, [example], label_set="english")[0].body
    assert any(pair.completion == body for pair in build_pairs("sentiment", languages=["de"]))


def test_any_direction_and_the_same_items_for_every_source():
    config = BuildConfig(target="es", pairs=5)
    pairs = build_pairs("sentiment", languages=["en", "sw"], config=config)
    ids = {code: {pair.id.partition(":")[0] for pair in pairs if pair.source == code} for code in ("en", "sw")}
    assert len(ids["en"]) == 5
    assert ids["en"] == ids["sw"]
    assert all(pair.target == "es" and "to Spanish:" in pair.prompt for pair in pairs)


@pytest.mark.parametrize(
    ("languages", "config", "message"),
    [
        (["ja"], BuildConfig(), "'ja' is not available"),
        (["en"], BuildConfig(), "is the target too"),
        (["es"], BuildConfig(pairs=10_000), "10000 wanted from es, which has 68"),
    ],
)
def test_what_cannot_be_built_is_named_with_its_value(languages, config, message):
    with pytest.raises(ConfigError, match=message):
        build_pairs("sentiment", languages=languages, config=config)


def labelled_data(folder, texts=12):
    for task, field in (("sentiment", "review"), ("other", "review")):
        for code in ("en", "de"):
            rows = [
                {"id": f"{task}-{i}", field: f"{task} text {i} in {code} {'more ' * (i % 5)}", "label": ("positive", "negative")[i % 2]}
                for i in range(texts)
            ]  # fmt: skip
            write_rows(folder / task / "train" / f"{code}.jsonl", rows)
    return folder


def test_labelled_arm_is_the_task_itself_in_the_target_language(tmp_path):
    benchmark = open_benchmark("sentiment", data=str(labelled_data(tmp_path)), required_split="train")
    real = build_pairs(benchmark, languages=["de"])
    made = build_pairs(benchmark, languages=["de"], config=BuildConfig(arm="labelled"))
    assert len(made) == len(real)
    assert {pair.completion for pair in made} == {'positive"', 'negative"'}
    assert all(pair.prompt.count("Review: ") == 2 and "de" not in pair.prompt.split() for pair in made)
    with pytest.raises(DataError, match="68 training questions of sentiment have no label"):
        build_pairs("sentiment", languages=["de"], config=BuildConfig(arm="labelled"))


def test_off_domain_arm_translates_another_task(tmp_path):
    data = str(labelled_data(tmp_path / "data"))
    other = tmp_path / "other"
    shutil.copytree(resources() / "tasks" / "sentiment", other)
    text = (other / "task.yaml").read_text(encoding="utf-8")
    (other / "task.yaml").write_text(text.replace("name: sentiment", "name: other"), encoding="utf-8")
    config = BuildConfig(arm="off-domain", off_domain=str(other))
    benchmark = open_benchmark("sentiment", data=data, required_split="train")
    made = build_pairs(benchmark, languages=["de"], config=config)
    assert len(made) == 12
    assert all("other text" in pair.prompt and "to English:" in pair.prompt for pair in made)
    for wrong in (None, "sentiment"):
        with pytest.raises(ConfigError, match="needs another task"):
            build_pairs(benchmark, languages=["de"], config=BuildConfig(arm="off-domain", off_domain=wrong))


def test_arms_of_questions_cannot_be_made_of_ready_made_pairs(tmp_path):
    path = tmp_path / "questions.json"
    row = {"input": 'x"\nTranslate the input from German to English:\n', "answer": "y"}
    path.write_text(json.dumps([row] * 2))
    with pytest.raises(ConfigError, match=r"labelled cannot be made of build\.files"):
        build_pairs("sentiment", languages="all", config=BuildConfig(arm="labelled", files=[str(path)]))


def test_the_stage_is_made_once_and_knows_its_languages(tmp_path):
    run = open_run(tmp_path / "run")
    benchmark, config = open_benchmark("sentiment"), BuildConfig(pairs=4, sources=["es", "de"])
    first = build_run(run, benchmark, config)
    stamp = (run.path / "build" / "pairs.jsonl").stat().st_mtime_ns
    assert build_run(run, benchmark, config) == first
    assert (run.path / "build" / "pairs.jsonl").stat().st_mtime_ns == stamp
    assert run.manifest()["stages"]["build"]["facts"]["languages"] == ["de", "es"]


def test_a_language_with_questions_and_no_wording_is_left_out_of_all_and_refused_by_name(tmp_path):
    benchmark = open_benchmark("sentiment", data=str(small_data(tmp_path, ("en", "de", "ga"))))
    assert {pair.source for pair in build_pairs(benchmark)} == {"de"}
    with pytest.raises(ConfigError, match=r"build\.sources: .*: the task has no wording for ga"):
        build_pairs(benchmark, languages=["ga"])
