from __future__ import annotations

import numpy as np
import pytest

from spillover.stats.ridge import PENALTIES, ridge


def solved(x, y, penalty):
    """The textbook's normal equations."""
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (6, 9)])
def test_the_penalty_and_the_map_equal_those_by_leaving_out_each_row(n, d):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    y = x @ rng.normal(size=(d, 3)) + rng.normal(size=(n, 3))
    largest = np.linalg.svd(x, compute_uv=False).max() ** 2
    errors = []
    for share in PENALTIES:
        rows = [np.delete(np.arange(n), i) for i in range(n)]
        errors.append(
            sum(((y[i] - x[i] @ solved(x[kept], y[kept], share * largest)) ** 2).sum() for i, kept in enumerate(rows))
        )
    found, share = ridge(x, y)
    assert share == PENALTIES[int(np.argmin(errors))]
    np.testing.assert_allclose(found, solved(x, y, share * largest), atol=1e-8)


def test_a_known_map_is_found_and_none_in_noise():
    rng = np.random.default_rng(1)
    x, real = rng.normal(size=(60, 8)), rng.normal(size=(8, 8))
    np.testing.assert_allclose(ridge(x, x @ real)[0], real, atol=1e-4)
    # More columns than rows: least squares would fit the noise without an error.
    wide = rng.normal(size=(20, 40))
    noise, share = ridge(wide, rng.normal(size=(20, 40)))
    assert share > 0.1
    assert np.linalg.norm(wide @ noise) < 0.5 * np.sqrt(20 * 40)
