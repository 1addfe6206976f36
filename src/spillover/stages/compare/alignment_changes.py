"""How alignment and language identity changed from one model to the other, from the probe's tables.

A measure of alignment is the mean of its items' values, so its change is tested by exchanging before and after at
random in each item (`stats.nulls.sign_flip`), the same items in all languages and layers. CKA, SVCCA and Procrustes,
which no single item has, go by the jackknife's values, and their test is as good as those. Benjamini-Hochberg over the
languages and layers of one measure and pooling.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.errors import DataError
from spillover.core.types import Floats
from spillover.stats.intervals import corrected, percentiles
from spillover.stats.nulls import sign_flip
from spillover.stats.resampling import item_weights, resampled_means

if TYPE_CHECKING:
    import pandas as pd

WHERE = ["language", "other", "pooling", "layer"]
DRAWS = 1000


def alignment_changes(before: Path, after: Path, *, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """A row per pair, pooling, layer and measure: `before`, `after`, `change` with its bootstrap interval over items,
    `p` and `bh_q`. before, after: folders of the probe. DataError when they hold other items, pairs or layers."""
    import pandas as pd

    sides = [pd.read_parquet(folder / "alignment_items.parquet") for folder in (before, after)]
    keys = [side[[*WHERE, "example_id"]] for side in sides]
    if not keys[0].equals(keys[1]):
        raise DataError(
            f"{before} and {after}: other items, languages or layers", hint="probe both models with the same settings"
        )
    measures = [name for name in sides[0] if name not in keys[0]]
    n = keys[0]["example_id"].nunique()
    cells = keys[0][WHERE].iloc[::n].reset_index(drop=True)
    old, new = (side[measures].to_numpy(dtype=np.float64).reshape(-1, n, len(measures)) for side in sides)
    change = (new - old).transpose(1, 0, 2)
    p = sign_flip(change, DRAWS, rng)
    low, high = _interval(change.reshape(n, -1), item_weights(n, DRAWS, rng), level)
    tables = []
    for i, measure in enumerate(measures):
        columns = {
            "measure": measure, "before": old[:, :, i].mean(axis=1), "after": new[:, :, i].mean(axis=1),
            "change": change[:, :, i].mean(axis=0), "low": low.reshape(p.shape)[:, i],
            "high": high.reshape(p.shape)[:, i], "p": p[:, i], "n": n,
        }  # fmt: skip
        tables.append(cells.assign(**columns))
    found = pd.concat(tables, ignore_index=True)
    q = found.groupby(["measure", "pooling"], sort=False)["p"].transform(
        lambda own: corrected(own.to_numpy(), "fdr_bh")
    )
    return found.assign(bh_q=q)


def _interval(contributions: Floats, weights: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentile intervals of the bootstrap for each column of [n, columns], in blocks of columns to bound memory."""
    intervals = [
        percentiles(resampled_means(contributions[:, start : start + 4096], weights), level)
        for start in range(0, contributions.shape[1], 4096)
    ]
    low, high = np.concatenate(intervals, axis=1)
    return low, high
