"""Each method takes out the prior that it knows of; length rules by hand; all from the table alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import CalibrationScores
from spillover.stages.evaluate.score_tables import read_scores
from spillover.stages.evaluate.stage import evaluate
from spillover.stats.calibration import batch_calibrated, calibrated, log_odds, normalised, rescaled
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import answer_prompt, content_free, render
from spillover.tasks.wording import load_task
from tests.builders import small_data, table


def with_prior(prior, rng=None):
    """Items whose labels all have this prior, and content-free inputs and an answer prompt that show it."""
    rng = rng or np.random.default_rng(0)
    prior = np.asarray(prior, dtype=np.float32)
    scores = table(rng.normal(-3, 1, (20, 2)).astype(np.float32) + prior, np.arange(20) % 2)
    calibration = CalibrationScores(np.stack([prior, prior]), prior, np.array([8, 4], np.int32))
    return replace(scores, calibration=calibration, label_tokens=np.tile(np.array([2, 1], np.int32), (20, 1)))


@pytest.mark.parametrize("method", ["batch", "contextual", "pmi"])
@given(first=st.floats(-6, 0), second=st.floats(-6, 0))
def test_a_prior_makes_no_difference_to_the_margins(method, first, second):
    with_it, without = (calibrated(with_prior(prior), method) for prior in ((first, second), (0, 0)))
    np.testing.assert_allclose(with_it[:, 0] - with_it[:, 1], without[:, 0] - without[:, 1], atol=1e-4)


def test_contextual_is_zhaos_mean_of_probabilities():
    scores = with_prior((0, 0))
    free = np.log(np.array([[0.8, 0.2], [0.4, 0.6]], dtype=np.float32))
    scores = replace(scores, calibration=replace(scores.calibration, content_free=free))
    np.testing.assert_allclose(
        calibrated(scores, "contextual"), normalised(scores.logprobs) - np.log([0.6, 0.4]), atol=1e-6
    )


def test_length_rules():
    scores = with_prior((0, 0))
    np.testing.assert_allclose(rescaled(scores, "sum").logprobs, scores.logprobs)
    np.testing.assert_allclose(rescaled(scores, "token").logprobs, scores.logprobs / [2, 1])
    np.testing.assert_allclose(rescaled(scores, "byte").logprobs, scores.logprobs / [8, 4])


def test_what_is_unknown_or_lacking_is_said():
    bare = table([[-1, -2]], [0])
    with pytest.raises(ConfigError, match="calibration 'magic'"):
        calibrated(bare, "magic")
    with pytest.raises(ConfigError, match="length rule 'word'"):
        calibrated(bare, "none", "word")
    with pytest.raises(DataError, match="no scores for pmi"):
        calibrated(bare, "pmi")
    with pytest.raises(DataError, match="no byte lengths"):
        calibrated(bare, "none", "byte")


def test_prompts_without_content_keep_shots_and_template():
    task = load_task("sentiment")
    from spillover.tasks.examples import load_parallel

    prompt = render(task, load_parallel("demo", task, "test", ["de"], limit=1)["de"], label_set="english")[0]
    empty, mark = content_free(task, prompt, ["", "N/A"])
    assert empty.prefix == mark.prefix == prompt.prefix
    assert mark.body == 'Rezension: N/A\nStimmung: "'
    assert answer_prompt(task, prompt).text == 'Stimmung: "'


def test_the_table_holds_what_the_engine_says_of_them(tiny, tmp_path):
    """Scored in the same evaluation, stored with it, part of its key; the items' scores are what they were."""
    data = str(small_data(tmp_path / "data", ("en", "de")))
    with_them = evaluate(tiny, open_benchmark("sentiment", data=data), out=tmp_path / "run")
    without = evaluate(tiny, open_benchmark("sentiment", data=data), config=EvaluateConfig(content_free=[]))
    assert with_them.key != without.key
    scores, _ = read_scores(tmp_path / "run" / "evaluate" / "base" / "sentiment" / "de.parquet")
    np.testing.assert_allclose(scores.logprobs, without.scores["de"].logprobs, atol=1e-4)
    np.testing.assert_array_equal(scores.calibration.content_free, with_them.scores["de"].calibration.content_free)
    assert scores.calibration.content_free.shape == (3, 2)
    assert scores.calibration.label_bytes.tolist() == [8, 8]
    assert np.isfinite(calibrated(scores, "contextual", "byte")).all()
    assert np.isfinite(calibrated(scores, "pmi", "token")).all()
    with pytest.raises(DataError, match="no content-free input"):
        calibrated(without.scores["de"], "contextual")


@given(st.lists(st.lists(st.floats(-50, 0), min_size=3, max_size=3), min_size=1, max_size=10))
def test_calibrated_columns_average_to_zero_and_rows_ignore_a_shift(rows):
    values = np.array(rows, dtype=np.float32)
    calibrated = batch_calibrated(values)
    np.testing.assert_allclose(calibrated.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.exp(normalised(values)).sum(axis=1), 1, atol=1e-9)


@given(st.lists(st.lists(st.integers(-40, 0), min_size=4, max_size=4), min_size=1, max_size=10))
def test_log_odds_are_the_logits_of_the_probabilities_whatever_the_order_of_the_labels(rows):
    values = np.array(rows) / 4
    shares = np.exp(normalised(values))
    np.testing.assert_allclose(log_odds(values), logit(shares), atol=1e-6)
    np.testing.assert_array_equal(log_odds(values)[:, 0], log_odds(values[:, [0, 3, 1, 2]])[:, 0])
