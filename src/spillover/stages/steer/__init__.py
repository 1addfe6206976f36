"""Steer: from parallel text, an intervention in a model's hidden states, with its nulls. No training.

`steer` loads torch when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names

if TYPE_CHECKING:
    from spillover.stages.steer.stage import steer

__all__ = ["steer"]

__getattr__ = lazy_names(__name__, {"steer": f"{__name__}.stage"})
