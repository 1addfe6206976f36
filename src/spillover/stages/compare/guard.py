"""The guard of the reference language: whether its accuracy is non-inferior to before."""

from __future__ import annotations

from spillover.core.config import CompareConfig
from spillover.core.languages import reference_language
from spillover.stages.compare.pairing import Changes
from spillover.stages.compare.result import Guard
from spillover.stats.significance import tango_test


def guard_of(changes: Changes, config: CompareConfig) -> Guard | None:
    """The non-inferiority test of the reference language (Tango 1998); None when it is not compared."""
    code = reference_language()
    if code not in changes.languages:
        return None
    contributions = changes.of_language("accuracy", code)
    low, high, p = tango_test(contributions, config.margin, config.level, clustered=changes.clustered)
    delta = float(contributions.mean())
    return Guard(code, config.margin, delta, low, high, p, held=low > -config.margin, lost=high < -config.margin)
