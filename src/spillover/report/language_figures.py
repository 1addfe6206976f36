"""Which figures of languages a run folder has tables for: name, chart and caption each. Reads tables alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.runs import Run
from spillover.report.charts import Figure, of_all_models
from spillover.report.language_charts import (
    alignment_heatmap,
    change_heatmap,
    identity_chart,
    items_chart,
    neurons_chart,
)

if TYPE_CHECKING:
    import pandas as pd

NULLS = (
    "what shuffled pairs, item length alone and, where it was run, the same architecture with random weights would give"
)


def language_figures(run: Run) -> list[Figure]:
    """The figures that the run's tables allow, in the order of the page."""
    tables = {name: of_all_models(run, name) for name in ("alignment", "identity", "neurons")}
    joined = {name: _read(run, name) for name in ("alignment_changes", "items")}
    figures = []
    if (aligned := tables["alignment"]) is not None:
        figures += _alignment(aligned)
    if (changes := joined["alignment_changes"]) is not None:
        figures.append(
            Figure(
                "alignment-change",
                change_heatmap(changes, "margin"),
                "Change in alignment: cosine of true pairs minus that of shuffled ones, after minus before. Grey: no "
                "change by a permutation test over items, after Benjamini-Hochberg over all cells.",
            )
        )
    if (items := joined["items"]) is not None:
        figures.append(
            Figure(
                "answers-that-turned",
                items_chart(items),
                "How far items moved, by what their answers did: mean and standard error per language. Where the "
                "colours lie apart, moving and turning go together; which of them causes which this cannot say.",
            )
        )
    if (identity := tables["identity"]) is not None:
        figures.append(
            Figure(
                "language-identity",
                identity_chart(identity, "weighted"),
                "How well a layer tells languages apart (items never seen by the probe), beside its nulls. Random "
                "weights tell them apart too: other tokens are other states.",
            )
        )
    if (neurons := tables["neurons"]) is not None and (chart := neurons_chart(neurons)) is not None:
        figures.append(
            Figure(
                "language-neurons",
                chart,
                "Language-specific neurons (LAPE) by layer, all languages together. Orange: as many are found when "
                "languages are exchanged within groups of items; grey: not above the 95th percentile of that.",
            )
        )
    return figures


def _alignment(table: pd.DataFrame) -> list[Figure]:
    measures = {
        "mexa": "MEXA: share of items nearer to their own translation than to any other, both ways",
        "cka": "Debiased CKA: whether the items have the same shape, turned in any way",
    }
    pooling = "weighted"
    return [
        Figure(
            f"alignment-{measure}",
            alignment_heatmap(table, measure, pooling),
            f"{text}; each language against English, by layer (position-weighted mean over the item's tokens). Grey: "
            f"not above the 95th percentile of {NULLS}.",
        )
        for measure, text in measures.items()
    ]


def _read(run: Run, name: str) -> pd.DataFrame | None:
    import pandas as pd

    path = run.path / "compare" / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else None
