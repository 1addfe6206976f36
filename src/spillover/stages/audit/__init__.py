"""The audit: what in a benchmark's data cannot be trusted."""

from __future__ import annotations

from spillover.stages.audit.stage import audit, audit_run

__all__ = ["audit", "audit_run"]
