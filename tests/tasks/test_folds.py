"""Folds: which items are scored, and which ones' questions may be trained on."""

from __future__ import annotations

import pytest

from spillover.core.config import load_config
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import Example
from spillover.stages.build import build_pairs
from spillover.tasks.benchmark import benchmark_of, training_benchmark
from spillover.tasks.folds import fold_of, hash_position
from tests.builders import small_data, write_rows

ITEMS = 40


def examples(n, **more):
    return [Example(f"item-{i}", "en", {}, **more) for i in range(n)]


@pytest.fixture
def data(tmp_path):
    return str(small_data(tmp_path, items=ITEMS))


def config_of(data, **changes):
    return load_config(data=data, build__questions="unscored", build__sources=["de"], **changes)


def scored_ids(config):
    return {row.id for row in benchmark_of(config).examples()["en"]}


def test_every_item_is_in_one_fold_of_nearly_equal_size():
    rows = examples(3000)
    counts = [sum(fold_of(f"{number}/3").has(row) for row in rows) for number in (1, 2, 3)]
    assert sum(counts) == len(rows)
    assert max(counts) - min(counts) < 150


def test_a_cluster_is_in_one_fold():
    assert len({fold_of("1/2").has(row) for row in examples(50, cluster="one passage")}) == 1


def test_a_share_by_the_bare_id_is_as_large_in_every_fold():
    rows = [row for row in examples(3000) if hash_position(row.id) < 0.3]
    assert 0.45 < sum(fold_of("1/2").has(row) for row in rows) / len(rows) < 0.55


def test_the_folds_score_every_item_once(data):
    first, second = (scored_ids(load_config(data=data, fold=fold)) for fold in ("1/2", "2/2"))
    assert first | second == {f"item-{i}" for i in range(ITEMS)}
    assert not first & second


@pytest.mark.parametrize("fold", ["1/2", "2/2", "3/4"])
@pytest.mark.parametrize("arm", ["translate", "shuffled", "copy", "template", "labelled"])
def test_no_scored_item_is_in_the_tuning_text(data, fold, arm):
    config = config_of(data, fold=fold, build__arm=arm, build__replay=0.2)
    pairs = build_pairs(training_benchmark(config), config=config.build)
    text = "\n".join(pair.prompt + pair.completion + "\n" for pair in pairs)
    scored = [row for rows in benchmark_of(config).examples().values() for row in rows]
    assert scored
    assert not [row.id for row in scored if f"{row.fields['review']}\n" in text]
    unscored = ITEMS - len(scored_ids(config))
    assert len([pair for pair in pairs if not pair.id.endswith("replay")]) == unscored


def test_a_question_with_the_text_of_a_scored_item_is_refused_or_dropped(data):
    config = config_of(data, fold="1/2")
    benchmark = benchmark_of(config)
    scored = scored_ids(config)
    twin = next(row for row in benchmark.examples()["de"])
    path = benchmark.files["de"]
    other = next(f"item-{i}" for i in range(ITEMS) if f"item-{i}" not in scored)
    rows = [
        {"id": f"item-{i}", "label": ("positive", "negative")[i % 2], "review": f"review {i} in de"}
        for i in range(ITEMS)
    ]
    write_rows(path, [row | ({"review": twin.fields["review"]} if row["id"] == other else {}) for row in rows])
    with pytest.raises(DataError, match=rf"1 training questions .*de {other} = {twin.id}"):
        build_pairs(training_benchmark(config), config=config.build)
    pairs = build_pairs(training_benchmark(config), config=config.build.model_copy(update={"overlap": "drop"}))
    assert len(pairs) == ITEMS - len(scored) - 1


def test_all_items_of_a_task_that_is_not_scored_are_questions(data):
    config = config_of(data).model_copy(update={"tasks": ["nli"]})
    pairs = build_pairs(training_benchmark(config), config=config.build)
    assert len(pairs) == ITEMS


def test_without_a_fold_no_item_of_a_scored_task_is_left_to_train_on(data):
    with pytest.raises(ConfigError, match="unscored: every item of sentiment is scored"):
        training_benchmark(config_of(data))


@pytest.mark.parametrize("text", ["3/2", "1/1", "0/2", "half"])
def test_what_is_no_fold_is_refused(text):
    with pytest.raises(ConfigError, match="fold"):
        load_config(fold=text)
