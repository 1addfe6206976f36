"""`spillover compare`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import Json
from spillover.cli.terminal import (
    by_reason,
    print_json,
    print_list,
    print_table,
    print_wrapped,
    say,
    show,
    show_lines,
)
from spillover.core.config import CompareConfig, RunConfig
from spillover.core.types import FailOn

if TYPE_CHECKING:
    import pandas as pd

    from spillover.stages.compare.planning import PowerPlan
    from spillover.stages.compare.result import Comparison
    from spillover.stages.compare.shown_tables import ShownRows


INDEPENDENT = """This assumes that the two models' errors are independent; two models of one family agree
more, and then a smaller change is enough."""


@config_options(
    "compare.primary", "compare.fallback", "compare.missing_items", "compare.margin", "compare.effect",
    "compare.draws", "compare.calibration", "compare.length", "seed",
)  # fmt: skip
def compare(
    config: RunConfig,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A run folder; more are placebo arms or seeds. Or two logs of another tool, or a log and a run."
        ),
    ] = None,
    before: Annotated[str, typer.Option(help="Name of the first evaluation.")] = "base",
    after: Annotated[str, typer.Option(help="Name of the second evaluation.")] = "tuned",
    seen: Annotated[
        str | None, typer.Option(help="Languages trained on, when the run did not build its pairs.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Score to read from another tool's log.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Power analysis: what change is detectable, before a run.")
    ] = False,
    items: Annotated[int | None, typer.Option(help="--plan: items per language.")] = None,
    accuracy: Annotated[str | None, typer.Option(help="--plan: before and after, as in 0.87,0.91.")] = None,
    discordance: Annotated[float | None, typer.Option(help="--plan: share of items whose prediction flips.")] = None,
    auroc: Annotated[str | None, typer.Option(help="--plan: AUROC before and after, as in 0.70,0.75.")] = None,
    correlation: Annotated[
        float, typer.Option(help="--plan --auroc: correlation of the two models' scores within a label.")
    ] = 0.0,
    languages: Annotated[int, typer.Option(help="--plan: number of languages tested.")] = 1,
    published: Annotated[
        Path | None,
        typer.Option(help="--plan: a CSV of language, before, after: test which changes exceed chance."),
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit code 3: worse, when a group of languages or a single language of any task got worse, corrected "
            "over all tasks; not-shown, also when no task improved in the group that its headline is about."
        ),
    ] = None,
    as_json: Json = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="A LaTeX table with intervals.")] = False,
) -> None:
    """Compare two evaluations of the same items, with intervals and tests: <run>/compare."""
    if plan and fail_on:
        raise typer.BadParameter("--plan and --fail-on are mutually exclusive: a plan has no results")
    paths = folders or []
    rules = config.compare.model_copy(update={"against": [str(path) for path in paths[1:]] or config.compare.against})
    if plan and published:
        _print_published(published, items, rules, as_json)
        return
    if plan:
        spread = _Spread(accuracy, discordance, auroc, correlation)
        power_plan = _plan(paths, (before, after), items, spread, languages, rules)
        print_json(asdict(power_plan)) if as_json else show_lines(power_plan)
        if spread.independent and not paths and not as_json:
            show_lines(INDEPENDENT)
        return
    comparisons, written = _compare(paths, (before, after), seen, metric, rules, config.seed)
    if as_json:
        from spillover.stages.compare.result import to_plain

        print_json([to_plain(comparison) for comparison in comparisons])
    elif as_latex:
        from spillover.stages.compare.latex import to_latex

        for comparison in comparisons:
            show_lines(to_latex(comparison))
    else:
        print_comparisons(comparisons)
        if written:
            show(f"wrote {written}")
    if fail_on:
        _finish_suite(comparisons, rules, fail_on, say if as_json or as_latex else show)


def _finish_suite(
    comparisons: Sequence[Comparison], config: CompareConfig, fail_on: FailOn, write: Callable[[str], None]
) -> None:
    """Write the result of the suite in one line, and exit with code 3 where it failed."""
    from spillover.stages.compare.all_tasks import all_tasks_table, failing_rows, suite_result

    table = all_tasks_table(comparisons, config)
    write(suite_result(table, fail_on))
    if len(failing_rows(table, fail_on)):
        sys.exit(3)


def _compare(
    paths: Sequence[Path],
    names: tuple[str, str],
    seen: str | None,
    metric: str | None,
    config: CompareConfig,
    seed: int,
) -> tuple[list[Comparison], Path | None]:
    from spillover.core.runs import existing_run
    from spillover.stages.compare.all_tasks import with_all_tasks
    from spillover.stages.compare.external_logs import is_log, read_log_and_run, read_log_pairs
    from spillover.stages.compare.stage import compare as compare_sides
    from spillover.stages.compare.stage import compare_run

    if not paths:
        raise typer.BadParameter("give a run folder, two logs, or --plan")
    codes = tuple(seen.split(",")) if seen else None
    logs = [path for path in paths if is_log(path)]
    if logs:
        if len(paths) != 2:
            raise typer.BadParameter(f"{logs[0]} is a log: give two sides, before and after")
        if len(logs) == 2:
            pairs = read_log_pairs(paths[0], paths[1], metric=metric)
        else:
            pairs = read_log_and_run(paths[0], paths[1], names=names, metric=metric)
        config = config.model_copy(update={"against": []})
        comparisons = [compare_sides(*sides, seen=codes or (), config=config, seed=seed) for sides in pairs]
        return with_all_tasks(comparisons, config), None
    run, (before, after) = existing_run(paths[0]), names
    return compare_run(run, before=before, after=after, seen=codes, config=config, seed=seed), paths[0] / "compare"


@dataclass(frozen=True)
class _Spread:
    """How two models differ, as --plan has it from the options."""

    accuracy: str | None
    discordance: float | None
    auroc: str | None
    correlation: float

    @property
    def independent(self) -> bool:
        """Whether the two models are taken to be independent."""
        return self.correlation == 0 if self.auroc else bool(self.accuracy and self.discordance is None)


def _plan(
    paths: Sequence[Path],
    names: tuple[str, str],
    items: int | None,
    spread: _Spread,
    languages: int,
    config: CompareConfig,
) -> PowerPlan:
    """From numbers, or from what an existing run shows."""
    from spillover.core.runs import existing_run
    from spillover.stages.compare.planning import deviation_of, discordance_of, plan, plan_area, plan_like

    if paths:
        return plan_like(
            existing_run(paths[0]), before=names[0], after=names[1], items=items,
            languages=languages if languages > 1 else None, discordance=spread.discordance, config=config,
        )  # fmt: skip
    if items is not None and spread.auroc:
        deviation = deviation_of(spread.auroc, spread.correlation)
        return plan_area(items=items, deviation=deviation, languages=languages, config=config)
    if config.primary == "auroc":
        raise typer.BadParameter("--plan --primary auroc wants --items and --auroc, or a run folder")
    discordance = spread.discordance
    if spread.accuracy and discordance is None:
        discordance = discordance_of(spread.accuracy)
    if items is None or discordance is None:
        raise typer.BadParameter("--plan wants --items and --auroc, --accuracy or --discordance, or a run folder")
    return plan(items=items, discordance=discordance, languages=languages, config=config)


def _print_published(path: Path, items: int | None, config: CompareConfig, as_json: bool) -> None:
    from spillover.core.tables import records
    from spillover.stages.compare.planning import read_published

    if items is None:
        raise typer.BadParameter("--published wants --items, how many items each accuracy was measured on")
    table = read_published(path, items, level=config.level)
    if as_json:
        print_json(records(table))
        return
    rows = [
        (
            str(row["language"]),
            f"{100 * row['before']:.1f} → {100 * row['after']:.1f}",
            f"{100 * row['change']:+.1f}",
            f"{100 * row['bound']:.1f}",
            *("yes" if row[key] else "" for key in ("clears", "clears_corrected")),
        )
        for row in records(table)
    ]
    print_table(f"{path}, {items} items", ("", "accuracy", "change", "bound", "beyond it", "corrected"), rows)
    k = len(rows)
    show(
        f"{table['clears'].sum()} of {k} changes exceed their uncorrected bound, "
        f"{table['clears_corrected'].sum()} one corrected for {k}."
    )
    show_lines(INDEPENDENT)


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Each comparison, and of several a table of all tasks."""
    from spillover.stages.compare.all_tasks import rows_of_all_tasks

    for comparison in comparisons:
        print_comparison(comparison)
    table = rows_of_all_tasks(comparisons)
    if table is not None:
        _print_all_tasks(table, comparisons[0].level)


def _print_all_tasks(table: pd.DataFrame, level: float) -> None:
    """What changed, and of the rest the groups that were asked about before the run."""
    from spillover.core.tables import records
    from spillover.stages.compare.format import p_value
    from spillover.stages.compare.language_groups import group_title
    from spillover.stages.compare.measures import BY_METRIC

    changed = table["verdict"].isin(("got worse", "improved"))
    shown = table[changed | table["kind"].isin(("all", "training", "reference"))]
    titles = [BY_METRIC[metric].title for metric in table["metric"].unique()]
    several = len(titles) > 1
    rows = [
        (
            row["verdict"],
            measure.change(row["delta"]),
            measure.span(row["low"], row["high"]),
            p_value(row["holm_p"]),
            measure.value(row["detectable"]),
            f"{row['task']}{f', {measure.title}' * several}: {group_title(row['group'], row['kind'])}",
        )
        for row in records(shown)
        for measure in [BY_METRIC[row["metric"]]]
    ]
    show()
    header = ("all tasks", "change", f"{100 * level:g} % interval", "Holm p", "MDE", "")
    print_table("", header, rows)
    hidden = len(table) - len(shown)
    gone_by = "the primary measure of each task" if several else titles[0]
    print_wrapped(
        f"Change: in {gone_by}; Holm p: over all tasks and groups, and over all single languages; MDE: minimum "
        "detectable change. Not listed: "
        f"single languages without a shown change{f', and {hidden} scripts, families or own groups' * (hidden > 0)}.",
        indent=0,
    )


def print_comparison(comparison: Comparison) -> None:
    """The headline, what to know of the two sides, a table of languages, one of groups, and the other sentences."""
    from spillover.core.tables import records
    from spillover.stages.compare.measures import ACCURACY
    from spillover.stages.compare.result import Topic
    from spillover.stages.compare.shown_tables import group_rows, language_rows

    first, *others = comparison.verdict
    notes, rest = ([line for line in others if (line.about == Topic.NOTE) == wanted] for wanted in (True, False))
    show()
    for note in notes:
        print_wrapped(f"Note: {note.text}", indent=6)
    _print_headline(first.numbers)
    show()
    measure = comparison.measure
    words = {"log": "", "choices": ", choices", "pairs": ", pairs"}.get(comparison.label_set)
    title = comparison.task + (f", {comparison.label_set} labels" if words is None else words)
    rows = language_rows(comparison.languages, measure, comparison.level)
    _print_filled(title + " (* trained on)" * bool(comparison.seen), rows)
    if comparison.languages["prior_repair_delta"].notna().any():
        whose = "" if measure is ACCURACY else "of accuracy: "
        show(f"{whose}change = bias (label-bias component) + rest (calibrated component)")
    # Without values before and after: names of groups are long.
    groups = comparison.groups[comparison.groups["kind"] != "all"]
    rows = group_rows(groups, measure, comparison.level)
    if rows:
        show()
        for row in rows.values():
            del row[measure.title]
        _print_filled("means over groups of languages", rows)
    show()
    reasons = by_reason({row["language"]: row["reason"] for row in records(comparison.languages)})
    print_list(
        [
            *(sentence.text for sentence in rest),
            *(f"Some numbers are undefined in {codes}: {reason}." for reason, codes in reasons.items()),
        ]
    )


def _print_headline(parts: Mapping[str, Any]) -> None:
    answer = parts["answer"][0].upper() + parts["answer"][1:]
    print_wrapped(f"Claim:         {parts['claim']}.", indent=15)
    print_wrapped(f"Measured by:   {parts['measure']}.", indent=15)
    print_wrapped(f"Does it hold?  {answer}.", indent=15)
    show("Why:")
    print_list(f"{reason[0].upper()}{reason[1:]}." for reason in parts["why"])


def _print_filled(title: str, rows: ShownRows) -> None:
    """A table of rows by name, without the columns in which nothing is known."""
    from spillover.stages.compare.shown_tables import filled_columns

    headings = filled_columns(rows)
    print_table(title, ("", *headings), [(name, *(row[heading] for heading in headings)) for name, row in rows.items()])
