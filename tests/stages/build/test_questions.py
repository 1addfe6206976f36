"""Training questions that are test items are refused or dropped."""

from __future__ import annotations

import json

import pytest

from spillover.core.config import BuildConfig
from spillover.core.errors import DataError
from spillover.stages.build import build_pairs
from spillover.tasks.benchmark import open_benchmark
from tests.builders import small_data, write_rows


@pytest.mark.parametrize("language", ["de", "en"])
def test_test_items_among_the_questions_are_refused_by_name_or_dropped(tmp_path, language):
    folder = small_data(tmp_path)
    path = folder / "sentiment" / "train" / f"{language}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[2]["review"] = f"REVIEW 3 in {language}!"
    write_rows(path, rows)
    benchmark = open_benchmark("sentiment", data=str(folder))
    with pytest.raises(DataError, match=rf"1 training questions .*{language} question-2 = item-3"):
        build_pairs(benchmark, languages=["de"])
    pairs = build_pairs(benchmark, languages=["de"], config=BuildConfig(overlap="drop"))
    assert len(pairs) == 5
    assert not any("question-2" in pair.id for pair in pairs)
