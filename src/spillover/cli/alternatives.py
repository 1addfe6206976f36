"""`spillover alternatives`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import Json
from spillover.cli.terminal import UNKNOWN, print_json, print_table, print_wrapped, progress_bars, show
from spillover.core.config import RunConfig

if TYPE_CHECKING:
    from spillover.stages.alternatives.result import Alternatives


@config_options("limit")
def alternatives(
    config: RunConfig,
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, as examples/alternatives.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", help="Run folder. [default: runs/<name>]")] = None,
    as_json: Json = False,
) -> None:
    """Did I need to train? What is free, the tuned model and their nulls in one table: <out>/alternatives.

    Every row is evaluated once, with the same items; resumes if interrupted.
    """
    from spillover.core.tables import records
    from spillover.models.load import load_model
    from spillover.pipeline import open_benchmarks
    from spillover.stages.alternatives.result_files import TABLES, facts
    from spillover.stages.alternatives.stage import alternatives as make
    from spillover.stages.alternatives.stage import rows_of_config

    folder = out or Path("runs") / config.name
    benchmarks = open_benchmarks(config)
    rows_of_config(config, benchmarks, folder)
    with progress_bars() as progress:
        base = load_model(**config.model.model_dump(), progress=progress)
        results = make(base, benchmarks, out=folder, config=config, progress=progress)
    if as_json:
        print_json([facts(result) | {name: records(getattr(result, name)) for name in TABLES} for result in results])
        return
    for result in results:
        print_alternatives(result)
    show(f"wrote {folder / 'alternatives'}")


def print_alternatives(result: Alternatives) -> None:
    """The verdict, a table of changes for each group of languages, and one of all measures and costs."""
    from spillover.core.tables import records

    print_wrapped(result.verdict, indent=0)
    for note in result.notes:
        print_wrapped(note, indent=0)
    for group in dict.fromkeys(result.rows["group"]):
        rows = records(result.of_group(group))
        show()
        print_table(
            f"{result.task}, {group}: {result.measure.title}, change from the {result.reference_title} "
            f"({100 * result.level:g} %), Holm's p, the best null's change",
            ("row", "value", "change", "p", "null"),
            [_change_cells(result, row, rows) for row in rows if row["kind"] != "null"],
        )
    show()
    print_table(
        f"{result.task}: accuracy, calibrated accuracy (%) and AUROC over all languages; tokens and seconds of "
        "scoring (and of translating), and seconds before: of training, or of making the intervention",
        ("row", "acc.", "calibr.", "AUROC", "tokens", "seconds", "before", "trained"),
        [_cost_cells(row) for row in records(result.of_group("all")) if row["kind"] != "null"],
    )
    if len(result.translations):
        show()
        print_table(
            f"{result.task}: the translations: chrF (0 to 100), beside it that of other items' translations, and how "
            "many texts are empty, unchanged, or cut",
            ("row", "language", "chrF", "others", "empty", "same", "cut", "of"),
            [_translation_cells(row) for row in records(result.translations)],
        )
        for reason in dict.fromkeys(result.translations["reason"]):
            if reason:
                print_wrapped(f"No chrF: {reason}.", indent=0)
    show()


def _translation_cells(row: Mapping[str, Any]) -> list[str]:
    areas = [UNKNOWN if math.isnan(row[name]) else f"{row[name]:.1f}" for name in ("chrf", "chrf_others")]
    return [row["row"], row["language"], *areas, *(str(row[name]) for name in ("empty", "unchanged", "cut", "texts"))]


def _change_cells(result: Alternatives, row: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    from spillover.stages.compare.format import p_value

    measure = result.measure
    delta, low, high = (row[f"{measure.metric}_{end}"] for end in ("delta", "low", "high"))
    nulls = [null[f"{measure.metric}_delta"] for null in rows if row["row"] in null["null_of"].split()]
    change = measure.change(delta) if math.isnan(low) else measure.change_with_interval(delta, low, high)
    null = measure.change(max(nulls)) if nulls else UNKNOWN
    return [row["row"], measure.value(row[measure.metric]), change, p_value(row["holm_p"]), null]


def _cost_cells(row: Mapping[str, Any]) -> list[str]:
    from spillover.stages.compare.format import area, percent

    values = [percent(row["accuracy"]), percent(row["calibrated_accuracy"]), area(row["auroc"])]
    costs = [_short(row[name]) for name in ("tokens", "seconds", "preparation_seconds")]
    return [row["row"], *values, *costs, "yes" if row["training"] else ""]


def _short(number: float) -> str:
    """950, 3.3k or 1.2M; a dash for NaN."""
    if math.isnan(number):
        return UNKNOWN
    return f"{number:.0f}" if number < 1000 else f"{number / 1e3:.1f}k" if number < 1e6 else f"{number / 1e6:.1f}M"
