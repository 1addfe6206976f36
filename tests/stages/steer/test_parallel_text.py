from __future__ import annotations

import json

import pytest

from spillover.core.config import SteerConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import Example
from spillover.stages.steer.parallel_text import as_sentence, read_parallel_text, text_benchmark
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task
from tests.builders import write_rows
from tests.stages.steer.builders import steer_data


def read(data, seed=0, **config):
    benchmark = open_benchmark("sentiment", data=str(data))
    return read_parallel_text(benchmark, [benchmark], SteerConfig(**config), seed)


def test_sentences_are_parallel_and_the_reference_language_is_among_them(tmp_path):
    text = read(steer_data(tmp_path), languages="de")
    assert (text.reference, list(text.sentences)) == ("en", ["en", "de"])
    assert [line[:-2] for line in text.sentences["de"]] == [line[:-2] for line in text.sentences["en"]]
    assert text.sentences["de"][0] == "rain 0 and bread in de"
    fewer = read(tmp_path, languages="de", sentences=4)
    assert len(fewer.sentences["en"]) == 4
    assert fewer.fingerprint != text.fingerprint


def test_sentences_that_are_scored_are_refused_or_dropped(tmp_path):
    steer_data(tmp_path)
    path = tmp_path / "sentiment" / "train" / "de.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["review"] = "Review 2, in DE!"
    write_rows(path, rows)
    with pytest.raises(
        DataError, match="1 sentences of the parallel text are scored items: de text-3 = item-2 of sentiment"
    ) as caught:
        read(tmp_path)
    assert "--overlap drop" in caught.value.hint
    dropped = read(tmp_path, overlap="drop")
    assert {len(texts) for texts in dropped.sentences.values()} == {9}
    assert not any("horse 3" in text for text in dropped.sentences["es"])


def test_items_of_another_scored_task_are_refused_too(tmp_path):
    steer_data(tmp_path)
    item = {"id": "nli-1", "premise": "rain 0 and", "hypothesis": "bread in de", "label": "neutral"}
    write_rows(tmp_path / "nli" / "test" / "de.jsonl", [item])
    text, nli = (open_benchmark(task, data=str(tmp_path)) for task in ("sentiment", "nli"))
    with pytest.raises(DataError, match="de text-0 = nli-1 of nli"):
        read_parallel_text(text, [nli], SteerConfig(), 0)


def test_a_language_without_sentences_and_too_few_of_them_are_named(tmp_path):
    steer_data(tmp_path, sentences=1)
    with pytest.raises(ConfigError, match=r"steer\.languages"):
        read(tmp_path, languages="th")
    with pytest.raises(DataError, match="1 parallel sentences of sentiment are left"):
        read(tmp_path)


def test_fields_that_hold_codes_are_no_text():
    task = load_task("copa")
    example = Example("i", "en", {"premise": "It rained.", "question": "cause"})
    assert as_sentence(task, example).fields == {"text": "It rained."}


def folds_data(tmp_path):
    """Parallel test items in two languages, no training questions."""
    for code in ("en", "de"):
        rows = [
            {
                "id": f"i{number}",
                "review": f"{code} sentence number {number}",
                "label": ("positive", "negative")[number % 2],
            }
            for number in range(40)
        ]
        write_rows(tmp_path / "sentiment" / "test" / f"{code}.jsonl", rows)
    return str(tmp_path)


def test_unscored_items_are_parallel_text_and_no_scored_one_is_among_them(tmp_path):
    data, config = folds_data(tmp_path), SteerConfig(questions="unscored")
    scored, others = (open_benchmark("sentiment", data=data, fold=fold) for fold in ("1/2", "2/2"))
    text = read_parallel_text(text_benchmark(config, [scored]), [scored], config, 0)
    expected = {row.fields["review"] for row in others.examples(["de"])["de"]}
    assert set(text.sentences["de"]) == expected
    assert not expected & {row.fields["review"] for row in scored.examples(["de"])["de"]}


def test_unscored_items_of_a_task_that_is_scored_whole_are_refused(tmp_path):
    scored = open_benchmark("sentiment", data=folds_data(tmp_path))
    with pytest.raises(ConfigError, match=r"steer\.questions: unscored: every item of sentiment is scored") as caught:
        text_benchmark(SteerConfig(questions="unscored"), [scored])
    assert "fold: 1/2" in caught.value.hint
