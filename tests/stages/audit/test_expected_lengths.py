from __future__ import annotations

import warnings

import numpy as np
import pytest

from spillover.stages.audit.expected_lengths import median_of_others


@pytest.mark.parametrize("languages", [2, 3, 6, 7])
def test_the_median_of_the_others_is_what_leaving_each_out_gives(languages):
    rng = np.random.default_rng(languages)
    values = rng.integers(0, 4, size=(languages, 40, 2)).astype(float)  # with ties
    values[rng.random(values.shape) < 0.3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = [np.nanmedian(np.delete(values, number, axis=0), axis=0) for number in range(languages)]
    assert np.array_equal(median_of_others(values), np.stack(expected), equal_nan=True)
