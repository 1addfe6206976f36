"""All figures of a run folder, from its tables alone; for the page, and as files of their own.

A stage's charts join by a function that gives `Figure`s: see `layer_figures` and `language_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.core.errors import ConfigError
from spillover.core.files import as_data_error, atomic
from spillover.core.languages import language
from spillover.core.runs import Run, existing_run
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.report.change_charts import change_figure, contrast_figure, seeds_figure, split_figure
from spillover.stages.report.charts import Figure, columns, of_all_models, styled, svg
from spillover.stages.report.language_figures import language_figures
from spillover.stages.report.layer_charts import (
    correlation_chart,
    lens_change,
    lens_grid,
    pca_grid,
    pca_slider,
    with_reference,
)
from spillover.stages.report.multi_run import transfer_figures
from spillover.stages.report.score_summaries import chance
from spillover.stages.report.training import training_figures

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from spillover.stages.compare.result import Comparison

FORMATS = ("html", "svg", "pdf", "png")
# Pixels per point of a PNG: sharp in print.
PNG_SCALE = 2.0


def figures(run: Run) -> list[Figure]:
    """The figures that the run's tables allow, in the order of the page."""
    held = (run.path / COMPARE / "verdict.json").exists()
    found = [
        figure
        for comparison in (read_comparisons(run.path / COMPARE) if held else [])
        for figure in comparison_figures(run, comparison)
    ]
    return [*found, *training_figures(run.path / "train" / "steps.jsonl"), *inside_figures(run)]


def comparison_figures(run: Run, comparison: Comparison) -> list[Figure]:
    """One task's: the change, what it is made of, the real arm against others, the seeds; those that there are."""
    with as_data_error(run.path / COMPARE / "languages.parquet"):
        found = [change_figure(comparison, chance(run, comparison.task)), split_figure(comparison)]
    with as_data_error(run.path / COMPARE / "contrasts.parquet"):
        found.append(contrast_figure(comparison))
    with as_data_error(run.path / COMPARE / "seeds.parquet"):
        found.append(seeds_figure(comparison))
    return [figure for figure in found if figure is not None]


def inside_figures(run: Run) -> list[Figure]:
    """What the probe saw."""
    return [*layer_figures(run), *language_figures(run)]


def write_figures(path: Path | str, formats: Sequence[str], *others: Path | str) -> list[Path]:
    """Every figure of the run as `<run>/figures/<name>.<format>`, with other runs also those of all of them.
    ConfigError names an unknown format."""
    check_formats(formats)
    run = existing_run(path)
    several = transfer_figures([run, *map(existing_run, others)]) if others else []
    written = []
    for figure in [*figures(run), *several]:
        for kind in formats:
            file = run.path / "figures" / f"{figure.name}.{kind}"
            chart = figure.chart if kind == "html" or figure.still is None else figure.still
            with atomic(file) as partial:
                partial.write_bytes(_render(chart, kind))
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
    lens = of_all_models(run, "lens", ("language", "words", "layer", "answer", "answer_sequence", "random", "n"))
    layers = of_all_models(run, "lens_layers", ("language", "layer", "entropy"))
    points = of_all_models(run, "pca", ("pooling", "layer", "language", "example_id", "pc1", "pc2"))
    pairs = of_all_models(
        run, "pca_pairs", ("pooling", "layer", "correlation", "centred", "residual", "length", "shuffled")
    )
    found: list[Figure] = []
    if lens is not None and layers is not None:
        found += _lens_figures(lens, layers)
    if pairs is not None and len(pairs):
        found.append(_correlation_figure(pairs))
    if points is not None and points["pc1"].notna().any():
        for pooling, words in (("all", "the mean over all tokens, the paper's"), ("mean", "the item's own tokens")):
            text = (
                f"First two principal components of {words}; up to twelve items a language. The layer is chosen with "
                "the slider; a file shows a few layers."
            )
            moving, still = pca_slider(points, pooling), pca_grid(points, pooling)
            found.append(Figure(f"pca-{pooling}", moving, text, _centres(points, pooling), still))
    return found


def _correlation_figure(pairs: pd.DataFrame) -> Figure:
    text = (
        "Correlation of the first principal component with English, mean over languages, by pooling. Orange: the "
        "correlation of item lengths alone. Where it reaches the blue line, length explains all there is."
    )
    named = {
        "model": "Model", "pooling": "Pooling", "layer": "Layer", "language": "Language", "other": "With",
        "correlation": "r of PC1", "centred": "Without language means", "residual": "Without means and length",
        "length": "Of length alone", "shuffled": "Of shuffled items",
    }  # fmt: skip
    # The pairs that the chart is made of; all of them, 190 for 20 languages, stand in the run's table.
    own = with_reference(pairs)
    return Figure("pca-correlation", correlation_chart(own), text, columns(own, named))


def _centres(points: pd.DataFrame, pooling: str) -> pd.DataFrame:
    """Where each language lies, mean over its items: hundreds of points are no reading."""
    rows = points[points["pooling"] == pooling].dropna(subset=["pc1"])
    means = rows.groupby(["model", "layer", "language"], sort=False)[["pc1", "pc2"]].mean().reset_index()
    means = means.assign(language=[language(code).name for code in means["language"]])
    named = {"model": "Model", "layer": "Layer", "language": "Language", "pc1": "PC1 (mean)", "pc2": "PC2 (mean)"}
    return columns(means, named)


def _lens_figures(lens: pd.DataFrame, layers: pd.DataFrame) -> list[Figure]:
    names = list(dict.fromkeys(lens["model"]))
    items = int(lens["n"].min())
    named = {
        "name": "Language", "words": "Words", "layer": "Layer", "answer": "First token", "answer_low": "Low",
        "answer_high": "High", "random": "Random tokens", "answer_sequence": "Exact word",
    }  # fmt: skip
    lens = lens.assign(name=[language(code).name for code in lens["language"]])
    found = [
        Figure(
            f"lens-{name}",
            lens_grid(lens[lens["model"] == name], layers[layers["model"] == name]),
            f"Logit lens of {name}, {items} items a language: probability of the right answer at each layer, with the "
            "95 % interval over items. Dashed: of the exact word. No solid line: its words share their first token. "
            "The strip is entropy, dark is undecided.",
            columns(lens[lens["model"] == name], named),
        )
        for name in names
    ]
    if {"base", "tuned"} <= set(names):
        before, after = (lens[lens["model"] == name] for name in ("base", "tuned"))
        text = (
            "Change in the mass of the English answer's first token, tuned minus base. Grey: the intervals overlap. A "
            "minus stands where it fell."
        )
        keys = ["name", "words", "layer"]
        both = before.merge(after, on=keys, suffixes=("_before", "_after"))
        both = both[both["words"] == "reference"]
        both = both.assign(change=both["answer_after"] - both["answer_before"])
        heads = {"name": "Language", "layer": "Layer", "answer_before": "Base", "answer_after": "Tuned"}
        table = columns(both, heads | {"change": "Change"})
        found.append(Figure("lens-change", lens_change(before, after, "reference"), text, table))
    return found
