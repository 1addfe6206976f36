"""The guard of the reference language: whether its accuracy is non-inferior to before."""

from __future__ import annotations

import math

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.languages import reference_language
from spillover.stages.compare.pairing import Changes
from spillover.stages.compare.result import Guard
from spillover.stats.significance import tango_interval, tango_statistic


def guard_of(changes: Changes, config: CompareConfig) -> Guard | None:
    """The non-inferiority test of the reference language (Tango 1998); None when it is not compared."""
    from scipy.stats import norm

    code = reference_language()
    if code not in changes.languages:
        return None
    contributions = changes.of_language("accuracy", code)
    low = high = p = math.nan
    if len(contributions) > 1:
        # A tie flips a fraction of an item. Counted in items of that size, the standard error is theirs.
        size = float((contributions**2).sum() / np.abs(contributions).sum()) if contributions.any() else 1.0
        gained = float(contributions[contributions > 0].sum()) / size
        lost = float(-contributions[contributions < 0].sum()) / size
        n = len(contributions) / size
        low, high = tango_interval(gained, lost, n, config.level)
        p = float(norm.sf(tango_statistic(gained, lost, n, -config.margin)))
    delta = float(contributions.mean())
    return Guard(code, config.margin, delta, low, high, p, held=low > -config.margin, lost=high < -config.margin)
