"""The probe: logit lens, PCA, alignment, language identity and neurons by layer, each beside its nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spillover.stages.probe.stage import probe

__all__ = ["probe"]


def __getattr__(name: str) -> Any:
    # `probe` loads torch; the column lists and what reads them do not.
    if name != "probe":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spillover.stages.probe.stage import probe

    return probe
