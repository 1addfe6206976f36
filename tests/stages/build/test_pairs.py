from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import resources
from spillover.core.runs import open_run
from spillover.core.types import TrainingPair
from spillover.stages.build.arms import copied, matched, shuffled, size, templated
from spillover.stages.build.pairs import build, build_pairs, read_pairs, write_pairs
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


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_pairs(tmp_path / name, build_pairs("sentiment", languages=["es", "de"], seed=seed))
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other
    assert read_pairs(tmp_path / "a") == build_pairs("sentiment", languages=["es", "de"], seed=1)


@pytest.mark.parametrize("language", ["de", "en"])
def test_test_items_among_the_questions_are_refused_by_name_or_dropped(tmp_path, language):
    folder = small_data(tmp_path)
    path = folder / "sentiment" / "train" / f"{language}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[2]["review"] = f"REVIEW 3 in {language}!"
    write_rows(path, rows)
    with pytest.raises(DataError, match=rf"1 training questions .*{language} question-2 = item-3"):
        build_pairs("sentiment", languages=["de"], data=str(folder))
    pairs = build_pairs("sentiment", languages=["de"], data=str(folder), config=BuildConfig(overlap="drop"))
    assert len(pairs) == 5
    assert not any("question-2" in pair.id for pair in pairs)


@pytest.mark.parametrize(
    ("languages", "config", "message"),
    [
        (["ja"], BuildConfig(), "'ja' is not available"),
        (["en"], BuildConfig(), "is the target too"),
        (["es"], BuildConfig(pairs=10_000), "10000 wanted from es, 68"),
    ],
)
def test_what_cannot_be_built_is_said_with_its_value(languages, config, message):
    with pytest.raises(ConfigError, match=message):
        build_pairs("sentiment", languages=languages, config=config)


def test_shuffled_arm_keeps_no_translation_and_loses_none():
    pairs = build_pairs("sentiment", languages=["es", "de"])
    moved = shuffled(pairs, np.random.default_rng(0))
    for old, new in zip(pairs, moved, strict=True):
        assert (old.prompt, old.source) == (new.prompt, new.source)
        assert old.completion != new.completion
    assert sorted(pair.completion for pair in pairs) == sorted(pair.completion for pair in moved)


def test_copy_arm_has_no_source_language_and_the_same_instruction():
    pair = build_pairs("sentiment", languages=["es"])[0]
    placebo = copied(pair)
    assert placebo.prompt == pair.completion + "\nTranslate the input from Spanish to English:\n"
    assert placebo.completion == pair.completion


def test_template_arm_stays_in_the_source_language():
    pairs = build_pairs("sentiment", languages=["es"])
    for old, new in zip(pairs, templated(pairs, np.random.default_rng(0)), strict=True):
        assert new.prompt == old.prompt
        assert new.completion.startswith("Reseña: ")
        assert new.completion.endswith('\nSentimiento: "')
        assert not new.prompt.startswith(new.completion)


@pytest.mark.parametrize("arm", ["shuffled", "copy", "template"])
def test_an_arm_has_as_many_pairs_and_bytes_as_the_real_one(arm):
    real = build_pairs("sentiment", languages=["es", "de"], seed=3)
    made = build_pairs("sentiment", languages=["es", "de"], seed=3, config=BuildConfig(arm=arm))
    assert len(made) == len(real)
    assert sum(map(size, made)) == pytest.approx(sum(map(size, real)), rel=0.01)
    again = build_pairs("sentiment", languages=["es", "de"], seed=3, config=BuildConfig(arm=arm))
    assert made == again


def test_matched_uses_all_pairs_when_they_fit_and_gives_up_when_none_can():
    pairs = build_pairs("sentiment", languages=["es"])
    assert sorted(map(size, matched(pairs, pairs, np.random.default_rng(0)))) == sorted(map(size, pairs))
    tiny = [TrainingPair("a", "es", "en", "x", "y")]
    assert matched(tiny, pairs, np.random.default_rng(0)) == tiny * len(pairs)


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
    data = str(labelled_data(tmp_path))
    real = build_pairs("sentiment", languages=["de"], data=data)
    made = build_pairs("sentiment", languages=["de"], data=data, config=BuildConfig(arm="labelled"))
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
    made = build_pairs("sentiment", languages=["de"], data=data, config=config)
    assert len(made) == 12
    assert all("other text" in pair.prompt and "to English:" in pair.prompt for pair in made)
    for wrong in (None, "sentiment"):
        with pytest.raises(ConfigError, match="needs another task"):
            build_pairs(
                "sentiment", languages=["de"], data=data, config=BuildConfig(arm="off-domain", off_domain=wrong)
            )


def test_arms_of_questions_cannot_be_made_of_ready_made_pairs(tmp_path):
    path = tmp_path / "questions.json"
    row = {"input": 'x"\nTranslate the input from German to English:\n', "answer": "y"}
    path.write_text(json.dumps([row] * 2))
    with pytest.raises(ConfigError, match=r"labelled cannot be made of build\.files"):
        build_pairs("sentiment", languages="all", config=BuildConfig(arm="labelled", files=[str(path)]))


def test_the_stage_is_made_once_and_knows_its_languages(tmp_path):
    run = open_run(tmp_path / "run")
    first = build(run, BuildConfig(pairs=4, sources=["es", "de"]), data="demo", seed=0)
    stamp = (run.path / "build" / "pairs.jsonl").stat().st_mtime_ns
    assert build(run, BuildConfig(pairs=4, sources=["es", "de"]), data="demo", seed=0) == first
    assert (run.path / "build" / "pairs.jsonl").stat().st_mtime_ns == stamp
    assert run.manifest()["stages"]["build"]["facts"]["languages"] == ["de", "es"]


def test_a_row_that_is_no_pair_is_named(tmp_path):
    path = write_rows(tmp_path / "pairs.jsonl", [{"id": "a"}])
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: not a training pair"):
        read_pairs(path)
