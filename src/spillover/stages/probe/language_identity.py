"""Can a layer's states identify the language they are in?

Two measures by layer. `accuracy`: a linear probe (ridge regression onto the languages, the largest output wins),
evaluated on items that it has seen in no language. It is at its ceiling in most layers of most models, so also
`separation`: the share of the states' variance that lies between the languages' means. Tuning that helps has been
reported with more of it and with less.

Nulls: language labels permuted within each item; the same probe on nothing but the item's length; the same on a model
with random weights, which separates scripts written in other tokens without having learnt anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.tables import Column
from spillover.core.types import Floats, Progress, no_progress
from spillover.stages.probe.columns import CLEARS, ITEMS, LAYER, POOLING, REASON, null_columns
from spillover.stages.probe.parallel_states import ParallelStates, ReadStates
from spillover.stats.nulls import share_explained
from spillover.stats.resampling import item_weights, percentile_interval, resampled_means

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
RIDGE = 0.1
LIMIT = 0.95
RESAMPLES = 1000

IDENTITY_COLUMNS = (
    POOLING,
    LAYER,
    Column("measure", "linear probe, or share of variance between languages", range="accuracy, separation"),
    Column("languages", "number of languages", unit="languages", range="2 up"),
    ITEMS,
    Column("language", 'language code for the accuracy of one language; "" for all languages together'),
    Column("value", "the measure", range="0 to 1"),
    Column("low", "lower bound of the 95 % bootstrap interval over items", range="0 to 1"),
    Column("high", "upper bound of the 95 % bootstrap interval over items", range="0 to 1"),
    *null_columns("permuted", "language labels permuted within each item"),
    *null_columns("length", "the same probe on the item's length alone (accuracy only)"),
    *null_columns("random_weights", "the same architecture with randomly initialised weights"),
    CLEARS,
    REASON,
)


def identity_table(
    states: ParallelStates,
    *,
    rng: np.random.Generator,
    random_weights: ReadStates | None = None,
    draws: int = 40,
    level: float = 0.95,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """A row per pooling, layer and measure with interval, nulls and share explained, and accuracy by language.

    random_weights: the states of the same items in a randomly initialised model; without them that null is NaN.
    Intervals resample items. DataError with fewer than two languages or five items.
    """
    import pandas as pd

    lengths = states.length_matrix
    count, items = lengths.shape
    if count < 2 or items < FOLDS:
        raise DataError(
            f"language identity needs at least 2 languages and {FOLDS} items, there are {count} and {items}",
            hint="--lang with more, or more --items",
        )
    labels = label_draws(count, items, draws, rng)
    weights = item_weights(items, RESAMPLES, rng)
    by_length = probe_values(length_features(lengths), labels[:1])["accuracy"][0]
    rows: list[dict[str, Any]] = []
    for done, (pooling, layer) in enumerate(states):
        untrained = None
        if random_weights:
            untrained_states = random_weights(pooling, layer)
            stacked = np.stack([untrained_states[code] for code in states.languages])
            untrained = probe_values(stacked, labels[:1])
        for measure, values in probe_values(states.array(pooling, layer), labels).items():
            permuted = values[1:].mean(axis=(1, 2))
            nulls = {"permuted": (float(values[1:].mean()), float(np.quantile(permuted, LIMIT)))}
            if measure == "accuracy":
                nulls["length"] = _mean_and_limit(by_length, weights)
            if untrained:
                nulls["random_weights"] = _mean_and_limit(untrained[measure][0], weights)
            keys = {"pooling": pooling, "layer": layer, "measure": measure, "languages": count, "n": items}
            estimate = _estimate(values, weights, level)
            rows.append(keys | {"language": ""} | estimate | _null_values(estimate["value"], nulls))
            if measure == "accuracy":
                rows += [
                    keys | {"language": code} | _estimate(values[:, i : i + 1], weights, level)
                    for i, code in enumerate(states.languages)
                ]
        progress("language identity", done + 1, len(states))
    return pd.DataFrame(rows, columns=[column.name for column in IDENTITY_COLUMNS])


def label_draws(languages: int, items: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[1 + draws, languages, items]: the true language of each state first, then languages permuted within items."""
    true = np.tile(np.arange(languages)[:, None], (1, items))
    return np.stack([true, *(rng.permuted(true, axis=0) for _ in range(draws))])


def length_features(lengths: NDArray[np.integer]) -> Floats:
    """[languages, items] tokens → [languages, items, 3]: powers of the standardised log length, the features of the
    length baseline."""
    logarithms = np.log(np.maximum(lengths, 1)).astype(np.float64)
    z = (logarithms - logarithms.mean()) / max(logarithms.std(), 1e-9)
    return np.stack([z, z**2, z**3], axis=-1)


def probe_values(states: NDArray[np.floating], labels: NDArray[np.int64]) -> dict[str, Floats]:
    """The values of both measures by item, for true and permuted labels.

    accuracy: [draws, languages, items], 1 where the probe predicts the language of the state; all languages of an item
    are in one fold. separation: [draws, 1, items], whose mean is the share of variance between languages. NaN where
    the states do not vary. states: [languages, items, hidden]; labels: [draws, languages, items]."""
    _, items, hidden = states.shape
    flat = np.asarray(states, dtype=np.float64).reshape(-1, hidden)
    spread = flat.std(axis=0)
    if not (flat.var(axis=0).sum() > 1e-12 * (flat**2).mean(axis=0).sum()):
        undefined = np.full((len(labels), 1, items), np.nan)
        return {"accuracy": np.full(labels.shape, np.nan), "separation": undefined}
    varying = spread > 1e-9 * spread.max()
    features = (flat[:, varying] - flat[:, varying].mean(axis=0)) / spread[varying]
    return {
        "accuracy": _accuracy(features, labels),
        "separation": _separation(flat - flat.mean(axis=0), labels),
    }


def _accuracy(features: Floats, labels: NDArray[np.int64]) -> Floats:
    """One ridge regression per fold fits the true labels and all permuted ones: each is a further set of targets."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    draws, count, items = labels.shape
    targets = np.eye(count, dtype=np.float32)[labels.reshape(draws, -1)]  # [draws, states, languages]
    columns = targets.transpose(1, 0, 2).reshape(count * items, -1)
    features = features.astype(np.float32)
    correct = np.empty((draws, count * items))
    groups = np.tile(np.arange(items), count)
    for fit, test in GroupKFold(FOLDS).split(features, groups=groups):
        ridge = Ridge(alpha=RIDGE * len(fit), solver="cholesky").fit(features[fit], columns[fit])
        predicted = ridge.predict(features[test]).reshape(len(test), draws, count).argmax(axis=2)
        correct[:, test] = labels.reshape(draws, -1)[:, test] == predicted.T
    return correct.reshape(draws, count, items)


def _separation(centred: Floats, labels: NDArray[np.int64]) -> Floats:
    """Between-language variance over total variance, by item: an item's contribution is the projection of its states on
    their languages' means."""
    draws, count, items = labels.shape
    total = (centred**2).sum()
    contributions = np.empty((draws, 1, items))
    for draw, drawn in enumerate(labels.reshape(draws, -1)):
        means = np.stack([centred[drawn == language].mean(axis=0) for language in range(count)])
        projections = np.einsum("sh,sh->s", centred, means[drawn])
        contributions[draw, 0] = projections.reshape(count, items).sum(axis=0) * items / total
    return contributions


def _estimate(values: Floats, weights: Floats, level: float) -> dict[str, float]:
    """The measure of the true labels with its bootstrap interval over items."""
    by_item = values[0].mean(axis=0)
    low, high = percentile_interval(resampled_means(by_item, weights), level)
    return {"value": float(by_item.mean()), "low": low, "high": high}


def _mean_and_limit(values: Floats, weights: Floats) -> tuple[float, float]:
    """Of a null with one value per item: its mean, and the 95th percentile over resampled items. values: [languages,
    items]."""
    by_item = values.mean(axis=0)
    return float(by_item.mean()), float(np.quantile(resampled_means(by_item, weights), LIMIT))


def _null_values(value: float, nulls: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """The columns of the nulls, and whether the value exceeds the limit of all that are defined."""
    columns: dict[str, Any] = {}
    for name, (mean, limit) in nulls.items():
        share = share_explained(np.array(value), np.array(mean))
        columns |= {name: mean, f"{name}_limit": limit, f"{name}_share": float(share)}
    undefined = math.isnan(value)
    clears = not undefined and all(not value <= limit + 1e-9 for _, limit in nulls.values())
    return columns | {"clears": clears, "reason": "the states do not vary" if undefined else ""}
