from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError
from spillover.core.languages import high_resource_languages, known_languages, unrelated_sentences
from spillover.models.local import LocalEngine
from spillover.stages.compare.differences import differences
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import render, shot_block, shot_turns
from spillover.tasks.shots import ShotPlace, resolve_shots, sentences_hash, shot_plan
from spillover.tasks.wording import load_task
from tests.builders import small_data


@pytest.mark.parametrize("shots", ["own", "de", "zh,de", "mixed", "mixed:sw,bn,hi", "en+unrelated", "en+unrelated:zh"])
def test_resolving_again_changes_nothing(shots):
    task = load_task("sentiment")
    resolved = resolve_shots(task, shots, 3)
    assert resolve_shots(task, resolved, 5) == resolved
    assert len(shot_plan(task, resolved, "sw")) == len(task.shots)


def test_over_seeds_each_language_stands_once_in_each_position():
    task = load_task("nli")
    languages = ["sw", "bn", "hi", "th", "is", "ms", "de"]
    orders = [resolve_shots(task, "mixed:" + ",".join(languages), seed).split(",") for seed in range(len(languages))]
    assert all(len(set(order)) == len(task.shots) for order in orders), "each shot in another language"
    for position in zip(*orders, strict=True):
        assert sorted(position) == sorted(languages)
    assert resolve_shots(task, "mixed", 1).split(",") == [*high_resource_languages()[1:7]]


def test_mixed_shots_are_the_same_shots_with_the_items_label_words():
    task = load_task("sentiment")
    mixed = shot_block(task, "native", "sw", "zh,de")
    first, second = (shot_block(task, "native", "sw", code).split("\n\n") for code in ("zh", "de"))
    assert mixed == f"{first[0]}\n\n{second[1]}\n\n"
    assert "chanya" in mixed or task.wordings["sw"].labels["positive"] in mixed


def test_unrelated_sentences_stand_before_each_shot_and_not_in_its_language():
    task = load_task("sentiment")
    shots = resolve_shots(task, "en+unrelated", 0)
    plan = shot_plan(task, shots, "sw")
    assert [place.language for place in plan] == ["en", "en"]
    assert all(place.sentence not in unrelated_sentences()["en"] for place in plan)
    block, plain = shot_block(task, "english", "sw", shots), shot_block(task, "english", "sw", "en")
    for place in plan:
        block = block.replace(place.sentence + "\n\n", "", 1)
    assert block == plain
    turns = shot_turns(task, "english", "sw", shots)
    assert [turn.question.partition("\n\n")[0] for turn in turns] == [place.sentence for place in plan]
    assert shot_plan(task, "own", "sw") == [ShotPlace("sw", "")] * 2


def test_unrelated_sentences_are_parallel_and_no_item_of_the_demo():
    sentences = unrelated_sentences()
    assert set(high_resource_languages()) == set(sentences) <= set(known_languages())
    assert {len(rows) for rows in sentences.values()} == {len(sentences["en"])}
    assert all(len(set(rows)) == len(rows) for rows in sentences.values())
    for rows in open_benchmark("sentiment").examples().values():
        assert not {row.fields["review"] for row in rows} & {text for texts in sentences.values() for text in texts}


@pytest.mark.parametrize(
    ("task", "shots", "message"),
    [
        ("sentiment", "mixed:zh", "2 shots, for 1 language"),
        ("reading", "mixed", "1 shot, for 8 languages"),
        ("sentiment", "mixed:zh,ko", "no wording in 'ko'"),
        ("sentiment", "mixd", "not a BCP-47 code"),
        ("sentiment", "zh,de,fr", "3 languages for the 2 shots"),
        ("sentiment", "own+unrelated", "not understood"),
        ("sentiment", "mixed+unrelated", "not understood"),
        ("sentiment", "en+related", "not understood"),
        ("sentiment", "en+unrelated:sw", "no unrelated sentences in 'sw'"),
        ("sentiment", "en+unrelated:en", "no unrelated sentences in 'en'"),
        ("sentiment", "", "names no language"),
    ],
)
def test_what_cannot_be_is_one_line_with_its_cure(task, shots, message):
    with pytest.raises(ConfigError, match=message) as error:
        resolve_shots(load_task(task), shots, 0)
    assert error.value.hint


def test_pairs_have_no_shots_and_none_are_resolved():
    assert resolve_shots(load_task("blimp"), "mixed", 0) == "mixed"


@pytest.mark.parametrize("shots", ["mixed:zh,de,es", "en+unrelated"])
def test_the_shared_prefix_stays_exact(tiny, shots):
    benchmark = open_benchmark("sentiment", languages="sw,th", limit=3, seed=1)
    for prompts in benchmark.prompts("native", shots).values():
        cached, whole = (LocalEngine(tiny, prefix_cache=cache) for cache in (True, False))
        plan = cached.plan(prompts)
        assert plan.shared
        scores = [next(engine.score(engine.plan(prompts))) for engine in (cached, whole)]
        assert sorted(scores[0].index) == sorted(scores[1].index)
        by_item = [batch.logprobs[np.argsort(batch.index)] for batch in scores]
        np.testing.assert_allclose(*by_item, atol=1e-4)


def test_an_evaluation_names_its_shots_and_compare_the_difference(tiny, tmp_path):
    benchmark = open_benchmark("sentiment", data=str(small_data(tmp_path / "data", ("en", "de"))), seed=2)
    evaluations = {
        shots: evaluate(tiny, benchmark, config=EvaluateConfig(shots=shots))
        for shots in ("en", "mixed", "en+unrelated", resolve_shots(benchmark.task, "mixed", 2))
    }
    experiments = {shots: evaluation.experiment for shots, evaluation in evaluations.items()}
    assert experiments["mixed"].shots == "fr,es"
    assert evaluations["mixed"].key == evaluations["fr,es"].key, "known by what was asked, in whatever words"
    assert len({evaluation.key for evaluation in evaluations.values()}) == 3
    assert sentences_hash(experiments["en+unrelated"].shots)
    found = differences(evaluations["en"], evaluations["mixed"])
    assert any("languages of the shots" in line for line in found)


def test_render_takes_a_language_for_each_shot():
    task = load_task("sentiment")
    rows = open_benchmark("sentiment", languages="sw", limit=1).examples()["sw"]
    (prompt,) = render(task, rows, label_set="english", shots="zh,de")
    assert prompt.prefix == shot_block(task, "english", "sw", "zh,de")
    assert [turn.question for turn in prompt.turns[:-1]] == [
        turn.question for turn in shot_turns(task, "english", "sw", "zh,de")
    ]
