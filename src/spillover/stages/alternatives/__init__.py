"""Alternatives: did I need to train? What is free, the tuned model and their nulls, on the same items, in one table.

`alternatives` loads torch when it is first used; reading its tables does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names
from spillover.stages.alternatives.result_files import read_alternatives

if TYPE_CHECKING:
    from spillover.stages.alternatives.stage import alternatives

__all__ = ["alternatives", "read_alternatives"]

__getattr__ = lazy_names(__name__, {"alternatives": f"{__name__}.stage"})
