"""Ridge regression of one set of vectors on another, with the penalty that predicts left-out rows best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats

# Penalties to choose from, in multiples of the largest squared singular value.
PENALTIES = np.logspace(-9, 1, 21)


def ridge(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[Floats, float]:
    """(coefficients [d, m] of y ≈ x W, the penalty among `PENALTIES` with the least leave-one-out error). No intercept.

    x: [n, d], y: [n, m], n ≥ 2. The error of a row left out has a closed form (Allen 1974): its residual over one minus
    its leverage, so one decomposition of x serves all rows and penalties. With fewer rows than columns a fit without
    penalty would reproduce any y, a shuffled one too.
    """
    wide, target = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    left, singular, right = np.linalg.svd(wide, full_matrices=False)
    squared, rotated = singular**2, left.T @ target
    errors = []
    for penalty in PENALTIES * squared.max():
        shrunk = squared / (squared + penalty)
        residual = target - left @ (shrunk[:, None] * rotated)
        leverage = (left**2) @ shrunk
        errors.append(float(((residual / (1 - leverage)[:, None]) ** 2).sum()))
    best = int(np.argmin(errors))
    scaled = (singular / (squared + PENALTIES[best] * squared.max()))[:, None] * rotated
    return right.T @ scaled, float(PENALTIES[best])
