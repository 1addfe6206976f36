"""What logs of other tools have in common: samples with scores under several names, of which one is compared.

A score is named as its tool names it: `acc`, `includes`, and with the filter or reducer it came through where there is
one: `exact_match,flexible-extract`, `includes,mode`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.errors import ConfigError, DataError
from spillover.core.types import LabelScores
from spillover.stages.compare.exported_logs import ExportedTask
from spillover.stages.compare.format import listed

ScoreColumns = Mapping[str, Mapping[str, Any]]
"""What was logged, by the score's name and then by item id: a number, a word, or anything else a tool writes."""

# Words that inspect_ai reads as numbers, in capitals or not.
WORDS = {"C": 1.0, "YES": 1.0, "TRUE": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "NO": 0.0, "FALSE": 0.0}
PREFERRED = ("acc", "exact_match")


@dataclass(frozen=True)
class LoggedScores:
    """One task in one language, as a tool logged it. metric: the score's name. notes: what its reader must know.
    prompts: hash of what the model read, by item id; empty where the log has none. exported: where the
    task was exported by `spillover export lm-eval`."""

    metric: str
    scores: LabelScores
    notes: tuple[str, ...]
    prompts: Mapping[str, str] = field(default_factory=dict)
    exported: ExportedTask | None = None


def chosen_score(path: Path, columns: ScoreColumns, metric: str | None) -> str:
    """The name of the score to compare: `metric`, alone or with a filter or reducer; else acc, exact_match, or the
    first. ConfigError when the log has no such score, DataError when none of its scores is a number from 0 to 1."""
    if metric is not None:
        wanted = metric.removesuffix(",none")  # lm-eval's name of no filter
        names = [name for name in columns if wanted in (name, score_stem(name))]
        if not names:
            raise ConfigError(f"{path}: no score {metric!r}", hint=f"--metric takes {', '.join(columns) or 'none'}")
        return wanted if wanted in names else names[0]
    names = [name for name, values in columns.items() if any(_is_score(value) for value in values.values())]
    if not names:
        logged = ", ".join(columns) or "none"
        raise DataError(f"{path}: no score between 0 and 1, of {logged}", hint="score the log, or log another metric")
    return min(
        names, key=lambda name: PREFERRED.index(stem) if (stem := score_stem(name)) in PREFERRED else len(PREFERRED)
    )


def score_stem(name: str) -> str:
    """A score's name without its filter or reducer."""
    return name.partition(",")[0]


def notes_on_choice(chosen: str, columns: ScoreColumns) -> tuple[str, ...]:
    """Which score is read, where the log has others or where a filter or reducer made it."""
    others = [name for name in columns if name != chosen]
    if others:
        return (f"by {chosen}; the log also has {', '.join(others)} (--metric {others[0]})",)
    return () if score_stem(chosen) == chosen else (f"by {chosen}",)


def outcomes_of(values: Mapping[str, Any], where: Callable[[str], str]) -> dict[str, float]:
    """Outcome by item id of those that have one: NaN and null are no score.

    DataError for a value that is not between 0 and 1, at the place that `where` names for the item.
    """
    outcomes = {}
    for name, value in values.items():
        number = _number(value)
        if number is None:
            hint = "choose another with --metric"
            raise DataError(f"{where(name)}: {str(value)[:60]} is not a score between 0 and 1", hint=hint)
        if not math.isnan(number):
            outcomes[name] = number
    return outcomes


def _is_score(value: Any) -> bool:
    number = _number(value)
    return number is not None and not math.isnan(number)


def _number(value: Any) -> float | None:
    """A value as a number from 0 to 1; NaN where nothing was scored; None where it is something else."""
    if value is None:
        return math.nan
    if isinstance(value, str) and value.upper() in WORDS:
        return WORDS[value.upper()]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isnan(number) or 0 <= number <= 1 else None


def left_out_note(names: Sequence[str], count: int, reason: str) -> str:
    """`2 of 40 samples ended in an error and are left out: 4, 17`. reason: `ended in an error`."""
    end = "is left out" if len(names) == 1 else "are left out"
    return f"{len(names)} of {count} samples {reason} and {end}: {listed(names)}"


def outcome_scores(code: str, outcomes: Mapping[str, float], content: Mapping[str, str]) -> LabelScores:
    """Scores of items of which only the outcome is known. content: hash by item id, see `content_of`."""
    n = len(outcomes)
    no_labels = np.zeros((n, 0))
    return LabelScores(
        code, (), tuple(outcomes), np.zeros(n, np.int64), no_labels.astype(np.float32), np.zeros(n, np.int32),
        no_labels.astype(np.int32), outcome=np.array(list(outcomes.values()), dtype=np.float64),
        content=content_of(outcomes, content),
    )  # fmt: skip


def content_of(names: Mapping[str, object], content: Mapping[str, str]) -> tuple[str, ...]:
    """The content hashes of these items; empty where one is unknown."""
    hashes = tuple(content.get(name, "") for name in names)
    return hashes if all(hashes) else ()


def as_outcomes(scores: LabelScores) -> LabelScores:
    """The scores with their outcomes alone, to compare them with a side of which no more is known."""
    outcomes = dict(zip(scores.example_ids, scores.hits().tolist(), strict=True))
    return replace(
        outcome_scores(scores.language, outcomes, {}),
        content=scores.content,
        clusters=scores.clusters,
        borrowed_wording=scores.borrowed_wording,
    )
