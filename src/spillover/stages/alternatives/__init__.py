"""Alternatives: did I need to train? What is free, the tuned model and their nulls, on the same items, in one table.

`alternatives` and `translate_items` load torch when they are first used; reading their tables does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names
from spillover.stages.alternatives.result_files import read_alternatives

if TYPE_CHECKING:
    from spillover.stages.alternatives.stage import alternatives
    from spillover.stages.alternatives.translations import translate_items

__all__ = ["alternatives", "read_alternatives", "translate_items"]

__getattr__ = lazy_names(__name__, {"alternatives": f"{__name__}.stage", "translate_items": f"{__name__}.translations"})
