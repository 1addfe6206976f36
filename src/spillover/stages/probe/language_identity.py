"""Can a layer's states tell which language they are in?

Two numbers by layer. `accuracy`: a linear probe (ridge regression onto the languages, the largest wins), judged on
items that it never saw in any language. It is at its ceiling in most layers of most models, so also `separation`: the
share of the states' variance that lies between the languages' means. Improvement has been seen with more of it and with
less.

Nulls: labels exchanged at random within each item; the same probe on nothing but the item's length; the same on a model
with random weights, which keeps apart what is written in other tokens without having learnt anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.types import Progress, no_progress
from spillover.stats.nulls import resampled_means, resamples, share_explained

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
FOLDS = 5
RIDGE = 0.1
LIMIT = 0.95


def identity_table(
    states: Callable[[str, int], NDArray[np.floating]],
    *,
    lengths: NDArray[np.integer],
    languages: Sequence[str],
    poolings: Sequence[str],
    layers: Sequence[int],
    rng: np.random.Generator,
    random_weights: Callable[[str, int], NDArray[np.floating]] | None = None,
    draws: int = 40,
    level: float = 0.95,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """A row per pooling, layer and measure with interval, nulls and share explained, and accuracy by language.

    states: (pooling, layer) → [languages, items, hidden]. lengths: [languages, items] tokens. Intervals resample items.
    DataError with fewer than two languages or five items.
    """
    import pandas as pd

    count, items = lengths.shape
    if count < 2 or items < FOLDS:
        raise DataError(
            f"telling languages apart needs 2 languages and {FOLDS} items, there are {count} and {items}",
            hint="--lang with more, or more --items",
        )
    labels = label_draws(count, items, draws, rng)
    weights = resamples(items, 1000, rng)
    by_length = probe_parts(length_features(lengths), labels[:1])["accuracy"][0]
    rows: list[dict[str, Any]] = []
    total = len(poolings) * len(layers)
    for done, (pooling, layer) in enumerate((pooling, layer) for pooling in poolings for layer in layers):
        own = states(pooling, layer)
        found = probe_parts(own, labels)
        untrained = probe_parts(random_weights(pooling, layer), labels[:1]) if random_weights else None
        for measure, parts in found.items():
            shape = _shape(parts, weights, level)
            nulls = {"permuted": (float(parts[1:].mean()), float(np.quantile(parts[1:].mean(axis=(1, 2)), LIMIT)))}
            if measure == "accuracy":
                nulls["length"] = _mean_and_limit(by_length, weights)
            if untrained:
                nulls["random_weights"] = _mean_and_limit(untrained[measure][0], weights)
            place = {"pooling": pooling, "layer": layer, "measure": measure, "languages": count, "n": items}
            rows.append(place | {"language": ""} | shape | _beside(shape["value"], nulls))
            if measure == "accuracy":
                rows += [
                    place | {"language": code} | _shape(parts[:, i : i + 1], weights, level)
                    for i, code in enumerate(languages)
                ]
        progress("language identity", done + 1, total)
    return pd.DataFrame(rows)


def label_draws(languages: int, items: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[1 + draws, languages, items]: the true language of each state first, then languages exchanged within items."""
    true = np.tile(np.arange(languages)[:, None], (1, items))
    return np.stack([true, *(rng.permuted(true, axis=0) for _ in range(draws))])


def length_features(lengths: NDArray[np.integer]) -> Floats:
    """[languages, items] → [languages, items, 3]: what a probe sees that knows nothing but the number of tokens."""
    logarithms = np.log(np.maximum(lengths, 1)).astype(np.float64)
    z = (logarithms - logarithms.mean()) / max(logarithms.std(), 1e-9)
    return np.stack([z, z**2, z**3], axis=-1)


def probe_parts(states: NDArray[np.floating], labels: NDArray[np.int64]) -> dict[str, Floats]:
    """accuracy: [draws, languages, items], 1 where the probe names the language of the state right; all languages of an
    item are in one fold. separation: [draws, 1, items], whose mean is the share of variance between languages. NaN
    where the states do not vary. states: [languages, items, hidden]; labels: [draws, languages, items]."""
    _, items, hidden = states.shape
    flat = np.asarray(states, dtype=np.float64).reshape(-1, hidden)
    spread = flat.std(axis=0)
    if not (flat.var(axis=0).sum() > 1e-12 * (flat**2).mean(axis=0).sum()):
        nothing = np.full((len(labels), 1, items), np.nan)
        return {"accuracy": np.full(labels.shape, np.nan), "separation": nothing}
    used = spread > 1e-9 * spread.max()
    features = (flat[:, used] - flat[:, used].mean(axis=0)) / spread[used]
    return {
        "accuracy": _accuracy(features, labels),
        "separation": _separation(flat - flat.mean(axis=0), labels),
    }


def _accuracy(features: Floats, labels: NDArray[np.int64]) -> Floats:
    """One ridge regression per fold serves the true labels and all exchanged ones: they are further columns of it."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    draws, count, items = labels.shape
    targets = np.eye(count, dtype=np.float32)[labels.reshape(draws, -1)]  # [draws, states, languages]
    columns = targets.transpose(1, 0, 2).reshape(count * items, -1)
    features = features.astype(np.float32)
    right = np.empty((draws, count * items))
    groups = np.tile(np.arange(items), count)
    for fit, test in GroupKFold(FOLDS).split(features, groups=groups):
        ridge = Ridge(alpha=RIDGE * len(fit), solver="cholesky").fit(features[fit], columns[fit])
        said = ridge.predict(features[test]).reshape(len(test), draws, count).argmax(axis=2)
        right[:, test] = labels.reshape(draws, -1)[:, test] == said.T
    return right.reshape(draws, count, items)


def _separation(centred: Floats, labels: NDArray[np.int64]) -> Floats:
    """Between-language variance over total variance, shared out: an item's part is the projection of its own states on
    their languages' means."""
    draws, count, items = labels.shape
    total = (centred**2).sum()
    parts = np.empty((draws, 1, items))
    for draw, own in enumerate(labels.reshape(draws, -1)):
        means = np.stack([centred[own == language].mean(axis=0) for language in range(count)])
        along = np.einsum("sh,sh->s", centred, means[own])
        parts[draw, 0] = along.reshape(count, items).sum(axis=0) * items / total
    return parts


def _shape(parts: Floats, weights: Floats, level: float) -> dict[str, float]:
    """The measure of the true labels with its bootstrap interval over items."""
    by_item = parts[0].mean(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(resampled_means(by_item, weights), [tail, 1 - tail])
    return {"value": float(by_item.mean()), "low": float(low), "high": float(high)}


def _mean_and_limit(parts: Floats, weights: Floats) -> tuple[float, float]:
    """A null that is one number, and the 95th percentile of its bootstrap over items. parts: [languages, items]."""
    by_item = parts.mean(axis=0)
    return float(by_item.mean()), float(np.quantile(resampled_means(by_item, weights), LIMIT))


def _beside(value: float, nulls: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """The nulls' columns, and whether the value clears all that there are."""
    columns: dict[str, Any] = {}
    for name, (mean, limit) in nulls.items():
        share = share_explained(np.array(value), np.array(mean))
        columns |= {name: mean, f"{name}_limit": limit, f"{name}_share": float(share)}
    clears = bool(value == value) and all(not value <= limit + 1e-9 for _, limit in nulls.values())
    return columns | {"clears": clears, "reason": "" if value == value else "the states do not vary"}
