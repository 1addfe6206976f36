from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.errors import DataError
from spillover.core.types import CalibrationScores, Evaluation, Experiment, ModelRef
from spillover.stages.evaluate.score_tables import (
    facts_of,
    read_evaluation,
    read_scores,
    read_texts,
    write_scores,
)  # fmt: skip
from tests.builders import random_table

EXPERIMENT = Experiment("w", "t", "english", "own", "exact", ("N/A", ""), "float32", "v")


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    calibration = CalibrationScores(
        rng.normal(-3, 1, (2, 3)).astype(np.float32),
        rng.normal(-3, 1, 3).astype(np.float32),
        np.array([4, 5, 6], np.int32),
    )
    return replace(random_table(rng, 9), calibration=calibration, content=tuple(f"h{i}" for i in range(9)))


def side(scores, key="k"):
    return Evaluation(ModelRef("m", None, None, "f"), "sentiment", "english", key, {"en": scores}, EXPERIMENT)


def test_what_is_read_is_what_was_written_to_the_last_bit(scores, tmp_path):
    folder = tmp_path / "sentiment"
    write_scores(folder / "en.parquet", scores, facts_of(side(scores)), [f"text {i}" for i in range(9)])
    evaluation = read_evaluation(folder)
    own = evaluation.scores["en"]
    assert evaluation.experiment == EXPERIMENT
    assert (own.example_ids, own.labels, own.content) == (scores.example_ids, scores.labels, scores.content)
    for name in ("gold", "logprobs", "tokens", "label_tokens"):
        np.testing.assert_array_equal(getattr(own, name), getattr(scores, name))
    for name, values in vars(scores.calibration).items():
        np.testing.assert_array_equal(getattr(own.calibration, name), values)
    assert read_texts(folder / "en.parquet")["i3"] == "text 3"


def test_tables_of_before_lack_hashes_and_settings(scores, tmp_path):
    path = tmp_path / "sentiment" / "en.parquet"
    older = {name: value for name, value in facts_of(side(scores)).items() if name != "experiment"}
    write_scores(path, replace(scores, content=()), older)
    evaluation = read_evaluation(path.parent)
    assert evaluation.experiment is None
    assert evaluation.scores["en"].content == ()
    assert read_texts(path) == {}


def test_tables_of_two_evaluations_in_one_folder_are_refused(scores, tmp_path):
    for code, key in (("de", "one"), ("en", "two")):
        own = replace(scores, language=code)
        write_scores(tmp_path / f"{code}.parquet", own, facts_of(side(own, key)))
    with pytest.raises(DataError, match=r"en.parquet: made from other inputs than de.parquet"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no table at all"])
def test_what_is_no_table_is_named(data, tmp_path):
    (tmp_path / "en.parquet").write_bytes(data)
    with pytest.raises(DataError, match="not a table of label scores"):
        read_scores(tmp_path / "en.parquet")
    with pytest.raises(DataError, match="no scores here"):
        read_evaluation(tmp_path / "empty")
