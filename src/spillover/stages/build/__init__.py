"""Build: question-translation pairs to train on, or a placebo arm of them."""

from __future__ import annotations

from spillover.stages.build.stage import build_pairs, build_run

__all__ = ["build_pairs", "build_run"]
