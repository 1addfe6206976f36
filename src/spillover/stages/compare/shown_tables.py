"""The rows of a comparison's tables as a person reads them, in a terminal and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spillover.core.tables import records
from spillover.stages.compare.format import p_value, points
from spillover.stages.compare.language_groups import group_title
from spillover.stages.compare.measures import ACCURACY, AUROC, Measure

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "–"
ShownRows = dict[str, dict[str, str]]
"""By the row's name, its cells by heading."""


def language_rows(languages: pd.DataFrame, measure: Measure, level: float) -> ShownRows:
    """A row for each language of the table of languages, with a star where it was trained on."""
    return {
        f"{row['language']}{'*' * row['seen']}": {"n": str(row["n"])} | _cells(row, measure, level)
        for row in records(languages)
    }


def group_rows(groups: pd.DataFrame, measure: Measure, level: float) -> ShownRows:
    """A row for each group of languages, with its metrics side by side as the table of languages has them."""
    by_group: dict[str, dict[str, Any]] = {}
    for row in records(groups):
        group = by_group.setdefault(row["group"], {key: row[key] for key in ("group", "kind", "languages")})
        group |= {f"{row['metric']}_{key}": row[key] for key in ("before", "after", "delta", "low", "high")}
        if row["role"] == "primary":
            group["holm_p"] = row["holm_p"]
    return {
        group_title(row["group"], row["kind"]): {"of": str(row["languages"])} | _cells(row, measure, level)
        for row in by_group.values()
    }


def filled_columns(rows: ShownRows) -> list[str]:
    """The headings under which anything is known."""
    return [name for name in next(iter(rows.values()), {}) if any(row[name] != UNKNOWN for row in rows.values())]


def _cells(row: Mapping[str, Any], measure: Measure, level: float) -> dict[str, str]:
    """A language's or group's numbers by heading: the primary measure with its test, then what stands beside it: the
    components of accuracy's change, and the other measures."""
    delta, low, high = (row[f"{measure.metric}_{key}"] for key in ("delta", "low", "high"))
    components = {"bias": points(row["prior_repair_delta"]), "rest": points(row["calibrated_accuracy_delta"])}
    others = {other.title: _before_after(other, row) for other in (ACCURACY, AUROC) if other is not measure}
    return {
        measure.title: _before_after(measure, row),
        "change": measure.change(delta),
        f"{100 * level:g} % interval": measure.span(low, high),
        "Holm p": p_value(row["holm_p"]),
        **components,
        **others,
    }


def _before_after(measure: Measure, row: Mapping[str, Any]) -> str:
    """Without the unit, which a table does not repeat; a dash where one side is unknown."""
    sides = [row[f"{measure.metric}_{side}"] for side in ("before", "after")]
    return UNKNOWN if any(map(math.isnan, sides)) else " → ".join(map(measure.value, sides))
