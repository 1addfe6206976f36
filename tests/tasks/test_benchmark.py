"""What "all", "seen" and "unseen" mean is decided in one place."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from spillover.core.config import RunConfig
from spillover.core.errors import ConfigError
from spillover.tasks.benchmark import benchmark_of, open_benchmark
from tests.builders import small_data


@pytest.fixture
def unworded(tmp_path):
    """German, Spanish, English and a language that the task has no wording for."""
    folder = small_data(tmp_path, languages=("en", "de", "es"))
    source = folder / "sentiment" / "test" / "en.jsonl"
    (folder / "sentiment" / "test" / "tlh.jsonl").write_bytes(source.read_bytes())
    return str(folder)


def test_all_is_every_language_with_data_and_wording_and_the_others_are_named(unworded, caplog):
    with caplog.at_level(logging.INFO):
        benchmark = open_benchmark("sentiment", data=unworded)
    assert benchmark.languages == ("en", "de", "es")
    assert benchmark.without_wording == ("tlh",)
    assert caplog.messages == ["sentiment: left out, as the task has no wording for them: tlh"]


def test_a_language_without_wording_is_refused_when_it_is_named(unworded):
    with pytest.raises(ConfigError, match="no wording for tlh"):
        open_benchmark("sentiment", data=unworded, languages="en,tlh")
    with pytest.raises(ConfigError, match="no wording for tlh"):
        open_benchmark("sentiment", data=unworded).select(["tlh"])


def test_seen_and_unseen_split_the_languages_asked_for(unworded):
    benchmark = open_benchmark("sentiment", data=unworded, languages="de,es")
    assert benchmark.select("seen", seen=["de", "zh"]) == ("de",)
    assert benchmark.select("unseen", seen=["de", "zh"]) == ("es",)
    with pytest.raises(ConfigError, match="'en' is not"):
        benchmark.select("en")


def test_items_and_prompts_are_the_same_in_every_language(unworded):
    benchmark = open_benchmark("sentiment", data=unworded, limit=4, seed=3)
    ids = {code: [row.id for row in rows] for code, rows in benchmark.examples().items()}
    assert list(ids) == ["en", "de", "es"]
    assert len(set(map(tuple, ids.values()))) == 1
    assert len(ids["en"]) == 4
    prompts = benchmark.restricted("de").prompts("english", "own", limit=2)
    assert {code: len(own) for code, own in prompts.items()} == {"de": 2}
    assert set(benchmark.hashes()) == {"en", "de", "es"}


def test_one_of_several_tasks_is_not_chosen_in_silence():
    config = RunConfig(tasks=["sentiment", "nli"])
    with pytest.raises(ConfigError, match="tasks: sentiment, nli: one task at a time here"):
        benchmark_of(config)
    assert benchmark_of(config, "nli").task.name == "nli"


def test_items_that_are_left_out_are_given_in_no_language(unworded):
    benchmark = replace(open_benchmark("sentiment", data=unworded), left_out=frozenset(["item-1", "elsewhere"]))
    for rows in benchmark.examples().values():
        assert [row.id for row in rows] == ["item-0", "item-2", "item-3", "item-4", "item-5"]
    assert {len(rows) for rows in replace(benchmark, limit=5).examples().values()} == {5}
    pairs = open_benchmark("blimp", languages="de,en")
    ids = {code: rows[0].id for code, rows in pairs.examples().items()}
    for code, rows in replace(pairs, left_out=frozenset(ids.values())).examples().items():
        assert ids[code] not in [row.id for row in rows]
