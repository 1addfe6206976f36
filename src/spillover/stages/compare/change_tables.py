"""The two tables of a comparison: the change by language and over groups of languages, with intervals and tests.

1. By language: deltas with the analytic and the paired bootstrap interval, McNemar, Holm and Benjamini-Hochberg.
2. Over groups: the mean over languages, the same item in all languages resampled together; and, for claims about
   languages in general, with the languages as a sample too.

The columns without a metric's name (holm_p, bh_q, detectable, verdict) are of the primary measure: its tests alone are
the family of tests that the verdict corrects for. Those of the other metrics are secondary, each corrected by itself.

Where items have clusters, these take the items' place in all intervals and tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.languages import language
from spillover.core.tables import Column, check_columns
from spillover.core.types import Floats
from spillover.stages.compare.language_groups import Group
from spillover.stages.compare.measures import Measure
from spillover.stages.compare.pairing import Changes, Pairs
from spillover.stages.compare.verdict import outcome_of
from spillover.stats.contributions import LARGEST_CHANGE, METRICS, before_after_values, estimate
from spillover.stats.intervals import two_way, within
from spillover.stats.power import minimum_detectable_mean
from spillover.stats.resampling import percentile_interval
from spillover.stats.significance import corrected, sign_flip_test
from spillover.stats.summary import constant_prediction

if TYPE_CHECKING:
    import pandas as pd

SHARE, P = "0 to 1", "0 to 1"
GROUP_CHANGE = "-2 to 2"  # of the label-bias component; -1 to 1 of the others


def _range(metric: str) -> str:
    return f"-{LARGEST_CHANGE[metric]:g} to {LARGEST_CHANGE[metric]:g}"


ROLE = Column("role", "primary, by which the verdict goes, or secondary: not among the tests that it corrects for")
VERDICT = Column("verdict", "outcome of the test: improved, got worse, no evidence, underpowered or undefined")
LANGUAGE_COLUMNS = (
    Column("language", "BCP-47 code"),
    Column("script", "ISO 15924 code"),
    Column("family", "language family"),
    Column("seen", "whether it was trained on"),
    Column("n", "items of both sides", "items"),
    Column("clusters", "clusters that intervals and tests resample; the items, where these have none", "clusters"),
    Column("one_answer_before", 'the label predicted for every item, "a tie", or ""'),
    Column("one_answer_after", 'the label predicted for every item, "a tie", or ""'),
    *(
        Column(f"{metric}_{side}", f"{metric} {side}", "share", SHARE)
        for metric in METRICS
        if metric != "prior_repair"
        for side in ("before", "after")
    ),
    *(
        column
        for metric in METRICS
        for column in (
            Column(
                f"{metric}_delta",
                f"change in {metric}; prior_repair is the label-bias component",
                "share",
                _range(metric),
            ),
            Column(f"{metric}_low", "lower end of the reported, analytic interval", "share", _range(metric)),
            Column(f"{metric}_high", "upper end of the reported, analytic interval", "share", _range(metric)),
            Column(
                f"{metric}_boot_low", "lower end of the paired bootstrap's percentile interval", "share", _range(metric)
            ),
            Column(
                f"{metric}_boot_high",
                "upper end of the paired bootstrap's percentile interval",
                "share",
                _range(metric),
            ),
            Column(f"{metric}_p", "two-sided p of no change", "", P),
            Column(f"{metric}_holm_p", "the same after Holm's correction over the languages", "", P),
        )
    ),
    Column("gained", "items newly correct, wholly or by a tie", "items"),
    Column("lost", "items newly wrong, wholly or by a tie", "items"),
    Column("mcnemar_p", "exact McNemar p (conservative); with ties or clusters the sign-flip test", "", P),
    Column("mcnemar_mid_p", "its mid-p, whose size is close to the nominal level", "", P),
    Column("mcnemar_holm_p", "mcnemar_mid_p after Holm's correction over the languages", "", P),
    Column("primary", "the measure of the following columns: accuracy, calibrated_accuracy or auroc"),
    Column("holm_p", "p (of accuracy mcnemar_mid_p) after Holm's correction over the languages", "", P),
    Column("bh_q", "the same p after Benjamini-Hochberg's correction over the languages", "", P),
    Column("detectable", "minimum detectable change, at the first step of Holm", "share", SHARE),
    VERDICT,
    Column("reason", 'why a number is NaN, or ""'),
)
GROUP_COLUMNS = (
    Column("group", "name of the group"),
    Column("kind", "all, training, reference, script, family or own"),
    Column("languages", "how many languages"),
    Column("codes", "BCP-47 codes, separated by spaces"),
    Column("metric", "accuracy, calibrated_accuracy, prior_repair (the label-bias component) or auroc"),
    ROLE,
    Column("n", "items that any of the languages has", "items"),
    Column("clusters", "clusters that intervals and tests resample; the items, where these have none", "clusters"),
    Column("before", "mean over the languages; NaN for prior_repair", "share", SHARE),
    Column("after", "mean over the languages; NaN for prior_repair", "share", SHARE),
    Column("delta", "mean change", "share", GROUP_CHANGE),
    Column("low", "lower end of the reported, analytic interval", "share", GROUP_CHANGE),
    Column("high", "upper end of the reported, analytic interval", "share", GROUP_CHANGE),
    Column("boot_low", "lower end of the paired bootstrap's percentile interval", "share", GROUP_CHANGE),
    Column("boot_high", "upper end of the paired bootstrap's percentile interval", "share", GROUP_CHANGE),
    Column("p", "two-sided p of no change", "", P),
    Column("holm_p", "p after Holm's correction within scripts, families or own groups; p itself for the rest", "", P),
    Column("languages_low", "lower end of the interval with the languages as a sample too", "share", GROUP_CHANGE),
    Column("languages_high", "upper end of the interval with the languages as a sample too", "share", GROUP_CHANGE),
    Column("languages_p", "two-sided p of no change, the languages being a sample too", "", P),
    Column("languages_boot_low", "lower end of its bootstrap interval", "share", GROUP_CHANGE),
    Column("languages_boot_high", "upper end of its bootstrap interval", "share", GROUP_CHANGE),
    Column("detectable", "minimum detectable mean change", "share"),
    VERDICT,
)


def language_table(
    pairs: Pairs,
    changes: Changes,
    draws: Mapping[str, Floats],
    seen: Sequence[str],
    config: CompareConfig,
    primary: Measure,
) -> pd.DataFrame:
    """A row per language, with `LANGUAGE_COLUMNS`. draws: by metric, [draws, languages]."""
    import pandas as pd

    rows = []
    for i, (code, (before, after)) in enumerate(pairs.items()):
        known, n = language(code), len(before.gold)
        row: dict[str, object] = {"language": code, "script": known.script, "family": known.family}
        row |= {"seen": code in seen, "n": n, "clusters": changes.n_clusters([code])}
        row |= {"one_answer_before": constant_prediction(before), "one_answer_after": constant_prediction(after)}
        for metric, values in before_after_values(before, after, config.calibration).items():
            row |= {f"{metric}_before": values[0], f"{metric}_after": values[1]}
        for metric in METRICS:
            parts = changes.of_language(metric, code)
            columns = _estimate_columns(parts, draws[metric][:, i], metric, config.level, clustered=changes.clustered)
            row |= {f"{metric}_{name}": value for name, value in columns.items()}
        contributions = changes.items_of_language("accuracy", code)
        row |= {"gained": int((contributions > 0).sum()), "lost": int((contributions < 0).sum())}
        row["mcnemar_p"], row["mcnemar_mid_p"] = sign_flip_test(changes.exchanged_in_language(code))
        alpha = (1 - config.level) / len(pairs)
        row["detectable"] = primary.minimum_detectable(changes, code, alpha=alpha, power=config.power)
        rows.append(row | {"reason": changes.reasons[code]})
    table = pd.DataFrame(rows)
    for metric in METRICS:
        table[f"{metric}_holm_p"] = corrected(table[f"{metric}_p"].to_numpy(), "holm")
    table["mcnemar_holm_p"] = corrected(table["mcnemar_mid_p"].to_numpy(), "holm")
    p = table[primary.single_test].to_numpy()
    table = table.assign(primary=primary.metric, holm_p=corrected(p, "holm"), bh_q=corrected(p, "fdr_bh"))
    table["verdict"] = outcomes(table[f"{primary.metric}_delta"], table["holm_p"], table["detectable"], config)
    return check_columns(table, LANGUAGE_COLUMNS)


def group_table(
    pairs: Pairs,
    changes: Changes,
    draws: Mapping[str, Floats],
    groups: Sequence[Group],
    config: CompareConfig,
    primary: Measure,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """A row per group and metric, with `GROUP_COLUMNS`. draws: by metric, [draws, languages]."""
    import pandas as pd

    values = {code: before_after_values(*sides, config.calibration) for code, sides in pairs.items()}
    rows = []
    for group in groups:
        columns = [changes.languages.index(code) for code in group.languages]
        for metric in METRICS:
            before = after = math.nan
            if metric != "prior_repair":
                before, after = map(float, np.mean([values[code][metric] for code in group.languages], axis=0))
            row = {"group": group.name, "kind": group.kind, "languages": len(columns), "metric": metric}
            row |= {"role": role(metric, primary)}
            row |= {"codes": " ".join(group.languages), "before": before, "after": after}
            row |= {"n": changes.n_items(group.languages), "clusters": changes.n_clusters(group.languages)}
            matrix = changes.contribution_matrix(metric, group.languages)
            of_group = draws[metric][:, columns]
            rows.append(row | _group_columns(matrix, of_group, metric, config, rng, clustered=changes.clustered))
    table = pd.DataFrame(rows)
    table["holm_p"] = table["p"]
    # Seen and unseen are questions asked before the run; scripts, families and the user's groups are a search.
    search = table[~table["kind"].isin(("all", "training", "reference"))]
    for _, part in search.groupby(["kind", "metric"]):
        table.loc[part.index, "holm_p"] = corrected(part["p"].to_numpy(), "holm")
    table["verdict"] = outcomes(table["delta"], table["holm_p"], table["detectable"], config)
    return check_columns(table, GROUP_COLUMNS)


def role(metric: str, primary: Measure) -> str:
    """primary or secondary."""
    return "primary" if metric == primary.metric else "secondary"


def outcomes(deltas: pd.Series, p: pd.Series, detectable: pd.Series, config: CompareConfig) -> list[str]:
    """The outcome of each row's test, as written in tables."""
    return [outcome_of(*row, config).value for row in zip(deltas, p, detectable, strict=True)]


def _estimate_columns(
    contributions: Floats, draws: Floats, metric: str, level: float, *, clustered: bool
) -> dict[str, float]:
    change = estimate(contributions, metric, level, clustered=clustered)
    low, high = percentile_interval(draws, level) if len(contributions) > 1 else (math.nan, math.nan)
    columns = {"delta": change.delta, "low": change.low, "high": change.high}
    return columns | {"boot_low": float(low), "boot_high": float(high), "p": change.p}


def _group_columns(
    matrix: Floats,
    draws: Floats,
    metric: str,
    config: CompareConfig,
    rng: np.random.Generator,
    *,
    clustered: bool,
) -> dict[str, float]:
    """matrix: contributions, [items or clusters, languages]. draws: [draws, languages]."""
    error = estimate(matrix.mean(axis=1), metric, config.level, clustered=clustered).error
    general = within(two_way(matrix, config.level, floor=0.0 if math.isnan(error) else error), LARGEST_CHANGE[metric])
    k = draws.shape[1]
    weights = rng.multinomial(k, np.full(k, 1 / k), size=len(draws)) / k
    low = high = math.nan
    if k > 1:
        low, high = percentile_interval((draws * weights).sum(axis=1), config.level)
    columns = _estimate_columns(
        matrix.mean(axis=1), draws.mean(axis=1), metric, config.level, clustered=clustered
    )  # fmt: skip
    clusters = len(matrix) if clustered else None
    return columns | {
        "languages_low": general.low,
        "languages_high": general.high,
        "languages_p": general.p,
        "languages_boot_low": float(low),
        "languages_boot_high": float(high),
        "detectable": minimum_detectable_mean(error, alpha=1 - config.level, power=config.power, clusters=clusters),
    }
