"""Compare: what changed between two evaluations of the same items, with intervals, tests and a verdict."""

from __future__ import annotations

from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.stage import compare, compare_run

__all__ = ["compare", "compare_run", "read_comparisons"]
