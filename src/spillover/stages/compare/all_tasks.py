"""All tasks of a comparison in one table, under one correction: what improved, what got worse, and where.

1. A row per task and group of languages: its change in the task's primary measure, pooled over seeds where the arm has
   several.
2. p after Holm's correction over all tasks and groups; groups of a task with the same languages are one test.
3. Single languages are a family of their own, with Holm's correction over all tasks and languages: a row for each that
   changed. With several seeds these are the first run's.
4. From this table, whether a regression suite passes: `failing_rows`.

Both families are tested two-sided at 1 - `compare.level`. A false "got worse" is one of the two directions, so its
probability is about half of that in each family, and in both together not above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.tables import Column, check_columns, records
from spillover.core.types import FailOn
from spillover.stages.compare.change_tables import GROUP_CHANGE, VERDICT, P, outcomes
from spillover.stages.compare.format import NAMED, p_value
from spillover.stages.compare.headline import pooled_over_seeds
from spillover.stages.compare.language_groups import group_title
from spillover.stages.compare.measures import BY_METRIC
from spillover.stages.compare.result import Comparison, Outcome, Topic
from spillover.stats.power import minimum_detectable_mean
from spillover.stats.significance import corrected

if TYPE_CHECKING:
    import pandas as pd

# Those that make a suite fail come first.
ORDER = (Outcome.WORSE, Outcome.IMPROVED, Outcome.NO_EVIDENCE, Outcome.UNDERPOWERED, Outcome.UNDEFINED)
ALL_TASKS_COLUMNS = (
    Column("group", "name of the group of languages, or a language's code"),
    Column("kind", "all, training, reference, script, family, own or language"),
    Column("languages", "how many languages"),
    Column("codes", "BCP-47 codes, separated by spaces"),
    Column("headline", "whether the task's headline is about this group"),
    Column("n", "items that any of the languages has", "items"),
    Column("seeds", "over how many seeds the change is pooled", "seeds"),
    Column("metric", "the task's primary measure: accuracy, calibrated_accuracy or auroc"),
    Column("delta", "change in it", "share", GROUP_CHANGE),
    Column("low", "lower end of its interval, not corrected", "share", GROUP_CHANGE),
    Column("high", "upper end of its interval, not corrected", "share", GROUP_CHANGE),
    Column("p", "two-sided p of no change; of a single language's accuracy McNemar's mid-p", "", P),
    Column("holm_p", "p after Holm's correction over all tasks and groups; over all tasks and single languages", "", P),
    Column("detectable", "minimum detectable change at the first step of Holm; NaN for a language", "share"),
    VERDICT,
)


def with_all_tasks(comparisons: Sequence[Comparison], config: CompareConfig) -> list[Comparison]:
    """The comparisons, each with its task's rows of `all_tasks_table`; of one task as they are."""
    if len(comparisons) < 2:
        return list(comparisons)
    table = all_tasks_table(comparisons, config)
    parts = {task: rows.drop(columns="task").reset_index(drop=True) for task, rows in table.groupby("task")}
    return [replace(comparison, all_tasks=parts[comparison.task]) for comparison in comparisons]


def all_tasks_table(comparisons: Sequence[Comparison], config: CompareConfig) -> pd.DataFrame:
    """A row per task and group, and per single language that changed, with `task` and `ALL_TASKS_COLUMNS`, what got
    worse first."""
    import pandas as pd

    languages = _language_rows(comparisons, config)
    rows = [*_group_rows(comparisons, config), *(row for row in languages if row["verdict"] in ORDER[:2])]
    table = pd.DataFrame(rows)
    check_columns(table.drop(columns="task"), ALL_TASKS_COLUMNS)
    return _in_order(table)


def rows_of_all_tasks(comparisons: Sequence[Comparison]) -> pd.DataFrame | None:
    """The table of `all_tasks_table`, from comparisons that have its rows; None where they do not."""
    import pandas as pd

    parts = [one.all_tasks.assign(task=one.task) for one in comparisons if one.all_tasks is not None]
    return _in_order(pd.concat(parts, ignore_index=True)) if parts else None


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by outcome, what got worse first, then by corrected p."""
    rank = table["verdict"].map({outcome.value: i for i, outcome in enumerate(ORDER)})
    return table.loc[table.assign(rank=rank).sort_values(["rank", "holm_p"]).index].reset_index(drop=True)


def _group_rows(comparisons: Sequence[Comparison], config: CompareConfig) -> list[dict[str, Any]]:
    import pandas as pd

    names = ("group", "kind", "languages", "codes", "n", "seeds", "metric", "delta", "low", "high", "p", "detectable")
    rows = []
    for comparison in comparisons:
        arm = next((sentence.numbers["arm"] for sentence in comparison.about(Topic.SEEDS)), "")
        headline = next((sentence.numbers["group"] for sentence in comparison.about(Topic.HEADLINE)), "")
        for change in comparison.group_changes(comparison.measure.metric, set(comparison.groups["kind"])):
            pooled = pooled_over_seeds(comparison, arm, change)
            row = {"task": comparison.task, "headline": change.group == headline}
            rows.append(row | {name: getattr(pooled, name) for name in names})
    table = pd.DataFrame(rows)
    tests = table.drop_duplicates(["task", "codes"])[["task", "codes", "p"]]
    tests["holm_p"] = corrected(tests.pop("p").to_numpy(), "holm")
    table = table.merge(tests, on=["task", "codes"], how="left")
    # A minimum detectable change is proportional to its standard error.
    alpha, n_tests = 1 - config.level, max(int(tests["holm_p"].notna().sum()), 1)
    alone, first_step = (minimum_detectable_mean(1, alpha=alpha / k, power=config.power) for k in (1, n_tests))
    table["detectable"] *= first_step / alone
    table["verdict"] = outcomes(table["delta"], table["holm_p"], table["detectable"], config)
    return records(table)


def _language_rows(comparisons: Sequence[Comparison], config: CompareConfig) -> list[dict[str, Any]]:
    """A row per task and language; none of a task with one language, whose group of all is that language."""
    import pandas as pd

    rows = [
        {"task": one.task, "group": change.language, "n": change.n, "metric": one.measure.metric}
        | {key: getattr(change, key) for key in ("delta", "low", "high", "p")}
        for one in comparisons
        if len(one.languages) > 1
        for change in one.language_changes()
    ]
    if not rows:
        return []
    table = pd.DataFrame(rows)
    table = table.assign(kind="language", languages=1, codes=table["group"], headline=False, seeds=1, detectable=np.nan)
    table["holm_p"] = corrected(table["p"].to_numpy(), "holm")
    table["verdict"] = outcomes(table["delta"], table["holm_p"], table["detectable"], config)
    return records(table)


def failing_rows(table: pd.DataFrame, fail_on: FailOn) -> pd.DataFrame:
    """The rows of `all_tasks_table` that make a suite fail, none where it passes.

    worse: those that got worse. not-shown: these, and where no task is shown to improve in the group that its headline
    is about, all of these groups."""
    failing = table["verdict"] == Outcome.WORSE.value
    improved = table["headline"] & (table["verdict"] == Outcome.IMPROVED.value)
    if fail_on == "not-shown" and not improved.any():
        failing |= table["headline"]
    return table[failing]


def suite_result(table: pd.DataFrame, fail_on: FailOn) -> str:
    """One line: whether the suite passes, and the rows that made it fail."""
    rows = records(failing_rows(table, fail_on))
    worse = [_named(row) for row in rows if row["verdict"] == Outcome.WORSE.value]
    not_shown = [_named(row) for row in rows if row["verdict"] != Outcome.WORSE.value]
    named = {"got worse": worse, "not shown to improve": not_shown}
    if rows:
        failed = "; ".join(f"{reason}: {_some(names)}" for reason, names in named.items() if names)
        return f"--fail-on {fail_on}: failed; {failed}"
    groups, n_tasks = table[table["kind"] != "language"], table["task"].nunique()
    tasks = f"{n_tasks} task{'s' * (n_tasks != 1)}"
    text = f"none of {len(groups)} groups in {tasks}, and no single language, is shown to be worse"
    if n_weak := int(groups["verdict"].isin((Outcome.UNDERPOWERED.value, Outcome.UNDEFINED.value)).sum()):
        text += f", {n_weak} of the groups being underpowered or undefined"
    if fail_on == "not-shown":
        improved = records(table[table["headline"] & (table["verdict"] == Outcome.IMPROVED.value)])
        text += f"; improved: {_some([_named(row) for row in improved])}"
    return f"--fail-on {fail_on}: passed; {text}"


def _named(row: dict[str, Any]) -> str:
    measure = BY_METRIC[row["metric"]]
    title = "" if measure.of_hits else f"{measure.title} "
    change = f"{title}{measure.change(row['delta'])}"
    interval = f"{measure.span(row['low'], row['high'])}, Holm p {p_value(row['holm_p'])}"
    return f"{row['task']} {group_title(row['group'], row['kind'])} {change} ({interval})"


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
