"""How alignment and language identity changed from one model to the other, from the probe's tables.

A measure of alignment is the mean of its items' values, so its change is tested by exchanging before and after at
random in each item (`stats.nulls.sign_flip`), the same items in all languages and layers. CKA, SVCCA and Procrustes,
which have no value by item, enter with their jackknife values, and their tests are approximate. Benjamini-Hochberg over
the languages and layers of one measure and pooling.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.errors import DataError
from spillover.core.tables import Column
from spillover.stats.nulls import sign_flip
from spillover.stats.resampling import item_weights, percentile_interval, resampled_means
from spillover.stats.significance import corrected

if TYPE_CHECKING:
    import pandas as pd

CELL = ["language", "other", "pooling", "layer"]
DRAWS = 1000
CHUNK = 4096
CHANGE_COLUMNS = (
    Column("language", "BCP-47 code"),
    Column("other", "BCP-47 code of the language it is aligned with"),
    Column("pooling", "how token states are pooled"),
    Column("layer", "0 is the embedding"),
    Column("measure", "measure of alignment or language identity"),
    Column("before", "mean over items"),
    Column("after", "mean over items"),
    Column("change", "after minus before"),
    Column("low", "lower end of its bootstrap interval over items"),
    Column("high", "upper end of its bootstrap interval over items"),
    Column("p", "two-sided p of no change", "", "0 to 1"),
    Column("n", "items", "items"),
    Column("bh_q", "after Benjamini-Hochberg over the languages and layers of a measure and pooling", "", "0 to 1"),
)


def alignment_changes(before: Path, after: Path, *, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """A row per pair, pooling, layer and measure, with `CHANGE_COLUMNS`. before, after: folders of the probe. DataError
    when they hold other items, pairs or layers."""
    import pandas as pd

    sides = [pd.read_parquet(folder / "alignment_items.parquet") for folder in (before, after)]
    keys = [side[[*CELL, "example_id"]] for side in sides]
    if not keys[0].equals(keys[1]):
        raise DataError(
            f"{before} and {after}: other items, languages or layers", hint="probe both models with the same settings"
        )
    measures = [name for name in sides[0] if name not in keys[0]]
    n = keys[0]["example_id"].nunique()
    cells = keys[0][CELL].iloc[::n].reset_index(drop=True)
    old, new = (side[measures].to_numpy(dtype=np.float64).reshape(-1, n, len(measures)) for side in sides)
    change = (new - old).transpose(1, 0, 2)
    p = sign_flip(change, DRAWS, rng)
    flat, weights = change.reshape(n, -1), item_weights(n, DRAWS, rng)
    low, high = np.concatenate(
        [
            percentile_interval(resampled_means(flat[:, start : start + CHUNK], weights), level)
            for start in range(0, flat.shape[1], CHUNK)
        ],
        axis=1,
    ).reshape(2, *p.shape)
    tables = []
    for i, measure in enumerate(measures):
        columns = {
            "measure": measure, "before": old[:, :, i].mean(axis=1), "after": new[:, :, i].mean(axis=1),
            "change": change[:, :, i].mean(axis=0), "low": low[:, i], "high": high[:, i], "p": p[:, i], "n": n,
        }  # fmt: skip
        tables.append(cells.assign(**columns))
    table = pd.concat(tables, ignore_index=True)
    q = table.groupby(["measure", "pooling"], sort=False)["p"].transform(lambda p: corrected(p.to_numpy(), "fdr_bh"))
    return table.assign(bh_q=q)
