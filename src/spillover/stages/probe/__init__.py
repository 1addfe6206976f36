"""The probe: logit lens, PCA, alignment, language identity and neurons by layer, each beside its nulls.

`probe` and `top_tokens` load torch when they are first used; the column lists and what reads them do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names

if TYPE_CHECKING:
    from spillover.stages.probe.lens import top_tokens
    from spillover.stages.probe.stage import probe

__all__ = ["probe", "top_tokens"]

__getattr__ = lazy_names(__name__, {"probe": f"{__name__}.stage", "top_tokens": f"{__name__}.lens"})
