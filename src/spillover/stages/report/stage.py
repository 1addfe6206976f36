"""The report: run folders → one HTML page, and a run's figures and tables as files. Reads tables, loads no model.

1. Gather what the folder contains (`content`); a stage that is missing leaves its part out, and the page says so.
2. Draw each chart as Vega-Lite (`figures`); the first also as SVG, for where no script runs.
3. Fill in the template with every text escaped (`page`): one file that makes no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from enum import Enum
from pathlib import Path

from spillover.core.errors import ConfigError
from spillover.core.files import atomic
from spillover.core.runs import existing_run
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.latex import to_latex
from spillover.stages.report.charts import Figure, specification, svg
from spillover.stages.report.content import page_content, run_figures
from spillover.stages.report.multi_run import transfer_figures
from spillover.stages.report.page import figure_page, render_page

# Pixels per point of a PNG: sharp in print.
PNG_SCALE = 2.0
PAGE = "report.html"


class FigureFormat(str, Enum):
    """What a figure is written as."""

    HTML = "html"
    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


def report(path: Path | str, *others: Path | str, title: str | None = None, out: Path | str | None = None) -> Path:
    """Write the page of a run folder, and return its path: `<run>/report.html` unless `out` says another file. others:
    more runs for the same page, which is the first one's. RunError when a folder is no run folder, DataError names a
    damaged file; then nothing is written."""
    runs = [existing_run(folder) for folder in (path, *others)]
    heading = title or runs[0].manifest().get("name") or runs[0].path.name
    text = render_page(page_content(runs) | {"title": heading})
    target = Path(out) if out is not None else runs[0].path / PAGE
    with runs[0].locked() if out is None else nullcontext(), atomic(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def write_figures(path: Path | str, *others: Path | str, formats: Sequence[FigureFormat]) -> list[Path]:
    """Write every figure of the run as `<run>/figures/<name>.<format>`, with other runs also those of all of them, and
    return the paths."""
    run = existing_run(path)
    figures = run_figures(run)
    if others:
        figures += transfer_figures([run, *map(existing_run, others)])
    written = []
    with run.locked():
        for figure in figures:
            for kind in formats:
                file = run.path / "figures" / f"{figure.name}.{kind.value}"
                with atomic(file) as partial:
                    partial.write_bytes(_render(figure, kind))
                written.append(file)
    return written


def read_figures(path: Path | str) -> list[Figure]:
    """Every figure that a run's tables allow, in the order of the page; each shows itself in a notebook. RunError when
    the folder is no run folder."""
    return run_figures(existing_run(path))


def parse_formats(text: str) -> list[FigureFormat]:
    """`svg,pdf` as formats; ConfigError names an unknown one."""
    known = [kind.value for kind in FigureFormat]
    names = text.replace(",", " ").split()
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"figure format {', '.join(map(repr, unknown))} is not one of {', '.join(known)}")
    return [FigureFormat(name) for name in names]


def _render(figure: Figure, kind: FigureFormat) -> bytes:
    import vl_convert

    if kind is FigureFormat.HTML:
        return figure_page(figure.title, specification(figure.chart)).encode()
    chart = figure.chart if figure.still is None else figure.still
    if kind is FigureFormat.SVG:
        return svg(chart).encode()
    spec = specification(chart)
    if kind is FigureFormat.PNG:
        return bytes(vl_convert.vegalite_to_png(spec, scale=PNG_SCALE))
    return bytes(vl_convert.vegalite_to_pdf(spec))


def write_latex(path: Path | str) -> Path:
    """Write `<run>/tables.tex`, a booktabs table for each task, to be read by `\\input`, and return its path. RunError
    when nothing was compared."""
    run = existing_run(path)
    text = "\n".join(to_latex(comparison) for comparison in read_comparisons(run.path / COMPARE))
    with run.locked(), atomic(run.path / "tables.tex") as partial:
        partial.write_text(f"% needs the package booktabs\n{text}", encoding="utf-8")
    return run.path / "tables.tex"
