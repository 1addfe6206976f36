"""The report: one HTML page from run folders, figures and tables as files, and a model card. Loads no torch."""

from __future__ import annotations

from spillover.stages.report.claims import findings
from spillover.stages.report.stage import read_figures, report

__all__ = ["findings", "read_figures", "report"]
