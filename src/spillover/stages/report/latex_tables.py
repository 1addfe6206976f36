"""The tables of a run for a paper: a booktabs table for each task, with intervals."""

from __future__ import annotations

from pathlib import Path

from spillover.core.files import atomic
from spillover.core.runs import existing_run
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.latex import to_latex


def write_latex(path: Path | str) -> Path:
    """Write `<run>/tables.tex`, to be read by `\\input`, and return its path. RunError when nothing was compared."""
    run = existing_run(path)
    text = "\n".join(to_latex(comparison) for comparison in read_comparisons(run.path / COMPARE))
    with atomic(run.path / "tables.tex") as partial:
        partial.write_text(f"% needs the package booktabs\n{text}", encoding="utf-8")
    return run.path / "tables.tex"
