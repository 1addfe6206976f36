"""Export: a benchmark as tasks of lm-evaluation-harness, and a run's evaluations as Every Eval Ever records."""

from __future__ import annotations

from spillover.stages.export.stage import export_eee, export_lm_eval

__all__ = ["export_eee", "export_lm_eval"]
