"""Two evaluations of the same items → what changed, per language and over groups, with intervals and tests.

1. Join by item id, and find each item's part in every change (`items`).
2. Per language: deltas with the analytic and the paired bootstrap interval, McNemar, Holm and Benjamini-Hochberg.
3. Over groups: the mean over languages, the same item in all languages moving together; and, for claims about languages
   in general, with the languages as a sample too.
4. The guard of the reference language, and the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig
from spillover.core.languages import language, reference_language
from spillover.core.types import Evaluation
from spillover.stages.compare.headline import headline
from spillover.stages.compare.language_groups import Group, groups_of
from spillover.stages.compare.pairing import CHANGES, Changes, Pairs, changes_of, join
from spillover.stages.compare.power import detectable, detectable_mean
from spillover.stages.compare.resample import bootstrap_changes
from spillover.stages.compare.result import Comparison, Guard, Topic
from spillover.stages.compare.verdict import outcome_of, verdict
from spillover.stats.contributions import before_after_values
from spillover.stats.intervals import (
    Estimate,
    adjusted,
    corrected,
    percentile,
    score_interval,
    score_z,
    sign_flip_test,
    skewed,
    two_way,
)
from spillover.stats.summary import one_answer

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


def compare(
    before: Evaluation,
    after: Evaluation,
    *,
    seen: str | Sequence[str] = (),
    config: CompareConfig | None = None,
    seed: int = 0,
) -> Comparison:
    """The change from `before` to `after` on the items of both. seen: languages that were trained on, codes or "es,de".

    DataError when the tasks, languages, items or their gold labels differ.
    """
    config = config or CompareConfig()
    seen = tuple(seen.split(",") if isinstance(seen, str) else seen)
    pairs = join(before, after, config)
    changes = changes_of(pairs, config.calibration)
    groups = groups_of(changes.languages, seen, config.groups)
    rng = np.random.default_rng(seed)
    draws = bootstrap_changes(pairs, changes.example_ids, draws=config.draws, rng=rng, calibration=config.calibration)
    found = Comparison(
        after.task,
        " → ".join(dict.fromkeys((before.label_set, after.label_set))),
        seen,
        config.level,
        language_table(pairs, changes, draws, seen, config),
        group_table(pairs, changes, draws, groups, config, rng),
        (),
        guard_of(changes, config),
    )
    return with_headline(replace(found, verdict=verdict(found)))


def with_headline(found: Comparison, arm: str = "") -> Comparison:
    """The comparison with its headline before all other sentences; an earlier one is replaced. arm: see `headline`."""
    rest = tuple(sentence for sentence in found.verdict if sentence.about != Topic.HEADLINE)
    return replace(found, verdict=(headline(found, arm), *rest))


def estimate(parts: Floats, metric: str, level: float) -> Estimate:
    """The reported interval and p of a metric's mean change."""
    return skewed(parts, level) if metric == "auroc" else adjusted(parts, level)


def language_table(
    pairs: Pairs, changes: Changes, draws: Mapping[str, Floats], seen: Sequence[str], config: CompareConfig
) -> pd.DataFrame:
    """A row per language."""
    import pandas as pd

    rows = []
    for i, (code, (left, right)) in enumerate(pairs.items()):
        known = language(code)
        row: dict[str, object] = {"language": code, "script": known.script, "family": known.family}
        row |= {"seen": code in seen, "n": len(left.gold)}
        row |= {"one_answer_before": one_answer(left), "one_answer_after": one_answer(right)}
        for metric, (old, new) in before_after_values(left, right, config.calibration).items():
            row |= {f"{metric}_before": old, f"{metric}_after": new}
        for metric in CHANGES:
            row |= _prefixed(metric, changes.column(metric, code), draws[metric][:, i], config.level)
        parts = changes.column("accuracy", code)
        row |= {"gained": int((parts > 0).sum()), "lost": int((parts < 0).sum())}
        row["mcnemar_p"], row["mcnemar_mid_p"] = sign_flip_test(parts)
        turned = float((parts**2).mean())
        strict = (1 - config.level) / len(pairs)
        row["detectable"] = detectable(len(left.gold), turned, alpha=strict, power=config.power)
        rows.append(row | {"reason": changes.reasons[code]})
    table = pd.DataFrame(rows)
    for metric in CHANGES:
        table[f"{metric}_holm_p"] = corrected(table[f"{metric}_p"].to_numpy(), "holm")
    table["holm_p"] = corrected(table["mcnemar_mid_p"].to_numpy(), "holm")
    table["bh_q"] = corrected(table["mcnemar_mid_p"].to_numpy(), "fdr_bh")
    table["verdict"] = [
        outcome_of(row["accuracy_delta"], row["holm_p"], row["detectable"], config).value
        for row in table.to_dict("records")
    ]
    return table


def _prefixed(metric: str, parts: Floats, draws: Floats, level: float) -> dict[str, object]:
    found = estimate(parts, metric, level)
    low, high = percentile(draws, level) if len(parts) > 1 else (math.nan, math.nan)
    return {
        f"{metric}_delta": found.delta,
        f"{metric}_low": found.low,
        f"{metric}_high": found.high,
        f"{metric}_boot_low": low,
        f"{metric}_boot_high": high,
        f"{metric}_p": found.p,
    }


def group_table(
    pairs: Pairs,
    changes: Changes,
    draws: Mapping[str, Floats],
    groups: Sequence[Group],
    config: CompareConfig,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """A row per group and metric."""
    import pandas as pd

    levels = {code: before_after_values(*sides, config.calibration) for code, sides in pairs.items()}
    rows = []
    for group in groups:
        places = [changes.languages.index(code) for code in group.languages]
        for metric in CHANGES:
            old, new = (
                float(np.mean([levels[code][metric][side] for code in group.languages])) if metric != "prior_repair"
                else math.nan for side in (0, 1)
            )  # fmt: skip
            row = {"group": group.name, "kind": group.kind, "languages": len(places), "metric": metric}
            row |= {"codes": " ".join(group.languages), "before": old, "after": new}
            rows.append(
                row | _group_row(changes.block(metric, group.languages), draws[metric][:, places], metric, config, rng)
            )
    table = pd.DataFrame(rows)
    table["holm_p"] = np.nan
    for (kind, _), part in table.groupby(["kind", "metric"]):
        # Seen and unseen are questions of their own, asked before the run; scripts and families are a search.
        whole = kind in ("all", "training", "reference")
        table.loc[part.index, "holm_p"] = part["p"] if whole else corrected(part["p"].to_numpy(), "holm")
    table["verdict"] = [
        outcome_of(row["delta"], row["holm_p"], row["detectable"], config).value for row in table.to_dict("records")
    ]
    return table


def _group_row(
    block: Floats, draws: Floats, metric: str, config: CompareConfig, rng: np.random.Generator
) -> dict[str, object]:
    found = estimate(block.mean(axis=1), metric, config.level)
    broad = two_way(block, config.level, floor=found.error if found.error == found.error else 0.0)
    k = draws.shape[1]
    low, high = percentile(draws.mean(axis=1), config.level) if len(block) > 1 else (math.nan, math.nan)
    again = rng.multinomial(k, np.full(k, 1 / k), size=len(draws)) / k
    both = percentile((draws * again).sum(axis=1), config.level) if k > 1 else (math.nan, math.nan)
    return {
        "n": len(block),
        "delta": found.delta,
        "low": found.low,
        "high": found.high,
        "boot_low": low,
        "boot_high": high,
        "p": found.p,
        "languages_low": broad.low,
        "languages_high": broad.high,
        "languages_p": broad.p,
        "languages_boot_low": both[0],
        "languages_boot_high": both[1],
        "detectable": detectable_mean(found.error, alpha=1 - config.level, power=config.power),
    }


def guard_of(changes: Changes, config: CompareConfig) -> Guard | None:
    """The non-inferiority test of the reference language (Tango 1998); None when it is not compared."""
    from scipy.stats import norm

    code = reference_language()
    if code not in changes.languages:
        return None
    parts = changes.column("accuracy", code)
    low = high = p = math.nan
    if len(parts) > 1:
        # Ties turn by parts of an item: counted in items of that size, the error is theirs.
        size = float((parts**2).sum() / np.abs(parts).sum()) if parts.any() else 1.0
        counts = (parts[parts > 0].sum(), -parts[parts < 0].sum(), len(parts))
        gained, lost, n = (float(count) / size for count in counts)
        low, high = score_interval(gained, lost, n, config.level)
        p = float(norm.sf(score_z(gained, lost, n, -config.margin)))
    delta = float(parts.mean())
    return Guard(code, config.margin, delta, low, high, p, held=low > -config.margin, lost=high < -config.margin)
