"""Two evaluations of the same items → what changed, per language and over groups, with intervals and tests.

1. Join by item id; items that one side lacks stop the comparison unless told otherwise.
2. Per language: deltas, a paired bootstrap interval, the exact McNemar p, Holm over the languages.
3. Over groups: the mean over languages, resampling items (the same item in all languages moves together).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spillover.compare.groups import groups_of
from spillover.compare.verdict import verdict
from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.types import Evaluation, LabelScores
from spillover.evaluate.summary import METRICS, calibrated_hits, hits

if TYPE_CHECKING:
    import pandas as pd

PER_ITEM = {"accuracy": hits, "calibrated_accuracy": calibrated_hits}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """What changed on one task.

    languages: a row per language with `<metric>_before`, `_after`, `_delta` (shares, not points), for accuracy and
    calibrated accuracy `_low` and `_high` of the paired bootstrap interval, `gained` and `lost` items, `mcnemar_p`
    and `holm_p`.
    groups: a row per group and metric with `delta`, `low`, `high`. verdict: a few plain sentences.
    """

    task: str
    label_set: str
    seen: tuple[str, ...]
    level: float
    languages: pd.DataFrame
    groups: pd.DataFrame
    verdict: tuple[str, ...]

    def to_pandas(self) -> pd.DataFrame:
        """The table of languages."""
        return self.languages

    def __str__(self) -> str:
        return "\n".join(self.verdict)


def compare(
    before: Evaluation,
    after: Evaluation,
    *,
    seen: Sequence[str] = (),
    config: CompareConfig | None = None,
    seed: int = 0,
) -> Comparison:
    """The change from `before` to `after` on the items of both. seen: languages that were trained on.

    DataError when the tasks, languages, items or their gold labels differ.
    """
    import pandas as pd

    config = config or CompareConfig()
    pairs = join(before, after, config.missing_items)
    rng = np.random.default_rng(seed)
    rows = [_language_row(left, right, code in seen, config, rng) for code, (left, right) in pairs.items()]
    languages = pd.DataFrame(rows)
    languages["holm_p"] = _holm(languages["mcnemar_p"].to_numpy())
    groups = pd.DataFrame(_group_rows(pairs, groups_of(tuple(pairs), seen), config, rng))
    comparison = Comparison(after.task, after.label_set, tuple(seen), config.level, languages, groups, ())
    return replace(comparison, verdict=verdict(comparison))


def join(
    before: Evaluation, after: Evaluation, missing_items: str = "refuse"
) -> dict[str, tuple[LabelScores, LabelScores]]:
    """Both sides' scores by language, on the same items in the same order."""
    if before.task != after.task:
        raise DataError(f"cannot compare {before.task} with {after.task}", hint="evaluate both models on one task")
    if set(before.scores) != set(after.scores) and missing_items == "refuse":
        apart = set(before.scores) ^ set(after.scores)
        raise DataError(
            f"{before.task}: only one side has {', '.join(sorted(apart))}",
            hint="--missing-items intersection leaves them out",
        )
    return {
        code: _same_items(left, after.scores[code], missing_items)
        for code, left in before.scores.items()
        if code in after.scores
    }


def _same_items(left: LabelScores, right: LabelScores, missing_items: str) -> tuple[LabelScores, LabelScores]:
    apart = sorted(set(left.example_ids) ^ set(right.example_ids))
    if apart and missing_items == "refuse":
        raise DataError(
            f"{left.language}: {len(apart)} items stand on one side alone: {', '.join(apart[:5])}",
            hint="--missing-items intersection leaves them out",
        )
    places = {example_id: i for i, example_id in enumerate(right.example_ids)}
    shared = [example_id for example_id in left.example_ids if example_id in places]
    if not shared:
        raise DataError(f"{left.language}: the two sides have no item in common")
    wanted = set(shared)
    left = _take(left, [i for i, example_id in enumerate(left.example_ids) if example_id in wanted])
    right = _take(right, [places[example_id] for example_id in shared])
    if left.labels != right.labels or (left.gold != right.gold).any():
        raise DataError(f"{left.language}: the two sides' gold labels differ", hint="evaluate both on the same data")
    return left, right


def _take(scores: LabelScores, places: list[int]) -> LabelScores:
    return replace(
        scores,
        example_ids=tuple(scores.example_ids[i] for i in places),
        gold=scores.gold[places],
        logprobs=scores.logprobs[places],
        tokens=scores.tokens[places],
        label_tokens=scores.label_tokens[places],
    )


def _language_row(
    left: LabelScores, right: LabelScores, seen: bool, config: CompareConfig, rng: np.random.Generator
) -> dict[str, object]:
    row: dict[str, object] = {"language": left.language, "seen": seen, "n": len(left.gold)}
    for metric, measure in METRICS.items():
        old, new = measure(left), measure(right)
        row |= {f"{metric}_before": old, f"{metric}_after": new, f"{metric}_delta": new - old}
    for metric, per_item in PER_ITEM.items():
        means = bootstrap_means(per_item(right) - per_item(left), draws=config.draws, rng=rng)
        row[f"{metric}_low"], row[f"{metric}_high"] = interval(means, config.level)
    old_right, new_right = hits(left) == 1, hits(right) == 1
    gained, lost = int((new_right & ~old_right).sum()), int((old_right & ~new_right).sum())
    return row | {"gained": gained, "lost": lost, "mcnemar_p": mcnemar(gained, lost)}


def bootstrap_means(values: Floats, *, draws: int, rng: np.random.Generator) -> Floats:
    """[n] → [draws]: means of resamples drawn with replacement. Empty input gives NaN, never 0."""
    if len(values) == 0:
        return np.full(draws, np.nan)
    return np.asarray(values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1))


def interval(draws: Floats, level: float) -> tuple[float, float]:
    """The percentile interval of bootstrap draws at this coverage; NaN where a draw is NaN."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p of items that turned right and items that turned wrong; 1 when none turned."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def _holm(p_values: Floats) -> Floats:
    from statsmodels.stats.multitest import multipletests

    return np.asarray(multipletests(p_values, method="holm")[1])


def _group_rows(
    pairs: Mapping[str, tuple[LabelScores, LabelScores]],
    groups: Mapping[str, tuple[str, ...]],
    config: CompareConfig,
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for group, codes in groups.items():
        row: dict[str, object] = {"group": group, "languages": len(codes)}
        for metric, per_item in PER_ITEM.items():
            means = _item_means({code: per_item(pairs[code][1]) - per_item(pairs[code][0]) for code in codes}, pairs)
            low, high = interval(bootstrap_means(means, draws=config.draws, rng=rng), config.level)
            before = float(np.mean([METRICS[metric](pairs[code][0]) for code in codes])) if codes else math.nan
            found = {"before": before, "delta": float(means.mean()), "low": low, "high": high}
            rows.append(row | {"metric": metric, "n": len(means)} | found)
        aurocs = np.array([[METRICS["auroc"](side) for side in pairs[code]] for code in codes])
        rows.append(
            row
            | {"metric": "auroc", "n": len(pairs[codes[0]][0].gold), "before": float(aurocs[:, 0].mean())}
            | {"delta": float((aurocs[:, 1] - aurocs[:, 0]).mean()), "low": math.nan, "high": math.nan}
        )
    return rows


def _item_means(differences: Mapping[str, Floats], pairs: Mapping[str, tuple[LabelScores, LabelScores]]) -> Floats:
    """[items]: each item's difference averaged over the languages, for items that all of them have."""
    columns = [dict(zip(pairs[code][0].example_ids, values, strict=True)) for code, values in differences.items()]
    shared = [example_id for example_id in columns[0] if all(example_id in column for column in columns)]
    if not shared:
        raise DataError(
            f"{', '.join(differences)}: no item is in all of these languages", hint="compare them one by one"
        )
    values = np.array([[column[example_id] for column in columns] for example_id in shared])
    return np.asarray(values.mean(axis=1))
