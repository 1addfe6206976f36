"""`spillover compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.options import Json, Seed
from spillover.cli.terminal import print_table

if TYPE_CHECKING:
    from spillover.compare.paired import Comparison


def compare(
    folder: Annotated[Path, typer.Argument(help="Run folder with two evaluations.")],
    before: Annotated[str, typer.Option(help="Name of the first evaluation.")] = "base",
    after: Annotated[str, typer.Option(help="Name of the second.")] = "tuned",
    seen: Annotated[
        str | None, typer.Option(help="Languages trained on, when the run did not build its pairs.")
    ] = None,
    missing_items: Annotated[str, typer.Option(help="refuse or intersection.")] = "refuse",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What changed between two evaluations of the same items, with intervals and tests: <run>/compare."""
    from spillover.compare.run import compare_run, training_languages
    from spillover.core.config import load_config
    from spillover.core.errors import RunError
    from spillover.core.runs import existing_run
    from spillover.evaluate.tables import read_evaluation

    config = load_config(compare__missing_items=missing_items)
    place = existing_run(folder)
    sides = []
    for name in (before, after):
        folders = sorted(path for path in (folder / "evaluate" / name).glob("*") if path.is_dir())
        if not folders:
            raise RunError(
                f"{folder}: no evaluation named {name!r}", hint="`spillover evaluate --name ...`, or --before, --after"
            )
        sides.append([read_evaluation(path) for path in folders])
    languages = tuple(seen.split(",")) if seen else training_languages(place)
    comparisons = compare_run(place, sides[0], sides[1], seen=languages, config=config.compare, seed=seed)
    for comparison in comparisons:
        if as_json:
            print(comparison.languages.to_json(orient="records"))
        else:
            print_comparison(comparison)
    if not as_json:
        print(f"wrote {folder / 'compare'}")


def print_comparison(comparison: Comparison) -> None:
    header = ("", "n", "accuracy", "change", "interval", "Holm p", "calibrated", "AUROC")
    rows = []
    for row in comparison.languages.to_dict("records"):
        name = f"{row['language']}{'*' if row['seen'] else ''}"
        rows.append(
            (
                name,
                str(row["n"]),
                f"{100 * row['accuracy_before']:.0f} → {100 * row['accuracy_after']:.0f}",
                f"{100 * row['accuracy_delta']:+.1f}",
                f"{100 * row['accuracy_low']:+.1f} to {100 * row['accuracy_high']:+.1f}",
                f"{row['holm_p']:.3f}",
                f"{100 * row['calibrated_accuracy_before']:.0f} → {100 * row['calibrated_accuracy_after']:.0f}",
                f"{row['auroc_before']:.2f} → {row['auroc_after']:.2f}",
            )
        )
    print()
    print_table(f"{comparison.task}, {comparison.label_set} labels (* trained on)", header, rows)
    print()
    for sentence in comparison.verdict:
        print(f"- {sentence}")
