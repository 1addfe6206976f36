"""Evaluate: the log-probability of every label for every item.

`evaluate` loads torch when it is first used; reading tables of scores does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names
from spillover.stages.evaluate.score_tables import read_evaluation

if TYPE_CHECKING:
    from spillover.stages.evaluate.stage import evaluate

__all__ = ["evaluate", "read_evaluation"]

__getattr__ = lazy_names(__name__, {"evaluate": f"{__name__}.stage"})
