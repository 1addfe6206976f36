"""All figures of a run folder, from its tables alone; for the page, and as files of their own.

A stage's chart joins by a function that gives `Figure`s: see `layer_figures` and `language_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.core.errors import ConfigError
from spillover.core.files import atomic
from spillover.core.runs import Run, existing_run
from spillover.report.charts import Figure, of_all_models, styled, svg
from spillover.report.language_figures import language_figures
from spillover.report.layer_charts import correlation_chart, lens_change, lens_grid, pca_grid

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

FORMATS = ("html", "svg", "pdf", "png")
# Pixels per point of a PNG: sharp in print.
PNG_SCALE = 2.0


def figures(run: Run) -> list[Figure]:
    """The figures that the run's tables allow, in the order of the page."""
    return [*layer_figures(run), *language_figures(run)]


def write_figures(path: Path | str, formats: Sequence[str]) -> list[Path]:
    """Every figure of the run as `<run>/figures/<name>.<format>`. ConfigError names an unknown format."""
    check_formats(formats)
    run = existing_run(path)
    written = []
    for figure in figures(run):
        for kind in formats:
            file = run.path / "figures" / f"{figure.name}.{kind}"
            with atomic(file) as partial:
                partial.write_bytes(_render(figure.chart, kind))
            written.append(file)
    return written


def check_formats(formats: Sequence[str]) -> Sequence[str]:
    """The formats; ConfigError names one that is none."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ConfigError(f"figure format {', '.join(map(repr, unknown))} is not one of {', '.join(FORMATS)}")
    return formats


def _render(chart: alt.TopLevelMixin, kind: str) -> bytes:
    import vl_convert

    if kind == "svg":
        return svg(chart).encode()
    text = styled(chart)
    if kind == "html":
        return str(vl_convert.vegalite_to_html(text, bundle=True)).encode()
    if kind == "png":
        return bytes(vl_convert.vegalite_to_png(text, scale=PNG_SCALE))
    return bytes(vl_convert.vegalite_to_pdf(text))


def layer_figures(run: Run) -> list[Figure]:
    """Lens and PCA by layer, of every model that was probed."""
    lens, layers = of_all_models(run, "lens"), of_all_models(run, "lens_layers")
    points, pairs = of_all_models(run, "pca"), of_all_models(run, "pca_pairs")
    found: list[Figure] = []
    if lens is not None and layers is not None:
        found += _lens_figures(lens, layers)
    if pairs is not None and len(pairs):
        text = (
            "Correlation of the first principal component with English, mean over languages, by pooling. Orange: the "
            "correlation of item lengths alone. Where it reaches the blue line, length explains all there is."
        )
        found.append(Figure("pca-correlation", correlation_chart(pairs), text))
    if points is not None and points["pc1"].notna().any():
        for pooling, words in (("all", "the mean over all tokens, the paper's"), ("mean", "the item's own tokens")):
            text = f"First two principal components of {words}, by layer; up to twelve items a language."
            found.append(Figure(f"pca-{pooling}", pca_grid(points, pooling), text))
    return found


def _lens_figures(lens: pd.DataFrame, layers: pd.DataFrame) -> list[Figure]:
    names = list(dict.fromkeys(lens["model"]))
    items = int(lens["n"].min())
    found = [
        Figure(
            f"lens-{name}",
            lens_grid(lens[lens["model"] == name], layers[layers["model"] == name]),
            f"Logit lens of {name}, {items} items a language: probability of the right answer at each layer, with the "
            "95 % interval over items. Dashed: of the exact word. No solid line: its words share their first token. "
            "The strip is entropy, dark is undecided.",
        )
        for name in names
    ]
    if {"base", "tuned"} <= set(names):
        before, after = (lens[lens["model"] == name] for name in ("base", "tuned"))
        text = "Change in the mass of the English answer's first token, tuned minus base. Grey: the intervals overlap."
        found.append(Figure("lens-change", lens_change(before, after, "reference"), text))
    return found
