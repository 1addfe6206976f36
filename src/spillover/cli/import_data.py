"""Import external datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import DATASET, PLAIN
from spillover.cli.terminal import show

app = typer.Typer(**PLAIN, no_args_is_help=True, help="Import external datasets.")


@app.command("paper")
def import_paper(
    checkout: Annotated[Path, typer.Argument(help="Checkout of the paper's repository, or its data folder.")],
    out: Annotated[Path, typer.Option("--out", help="Data folder to write.")] = Path("data/paper"),
    as_shipped: Annotated[bool, typer.Option("--as-shipped", help="Keep the known faults.")] = False,
) -> None:
    """Import the paper's data; its known faults are repaired and listed."""
    from spillover.tasks.importers.paper import CHANGES
    from spillover.tasks.importers.paper import import_paper as import_data

    for change in import_data(checkout, out, as_shipped=as_shipped):
        done = "repaired" if change.applied else "left as shipped"
        show(f"{change.file}: {change.what}: {change.rows} rows, {done}")
    show(f"wrote {out} ({out / CHANGES} names each repair)")


@app.command("hub")
def import_hub(
    name: Annotated[str, typer.Argument(help=DATASET)],
    out: Annotated[Path | None, typer.Option("--out", help="Data folder to write. [default: data/<name>]")] = None,
    lang: Annotated[str, typer.Option("--lang", help="Languages: all, or codes as in zh,de.")] = "all",
    limit: Annotated[int | None, typer.Option(help="First rows of each file. [default: all]")] = None,
) -> None:
    """Import a Hugging Face data set."""
    from spillover.tasks.importers.hub import import_dataset, needed, read_source

    source = read_source(name)
    folder = out or Path("data") / source.name
    for row in import_dataset(source, folder, languages=lang, limit=limit):
        dropped = f", {row.dropped} dropped for their label" if row.dropped else ""
        show(f"{source.task}/{row.split}/{row.language}: {row.rows} rows{dropped}")
    show(f"wrote {folder}; {needed(source)}")
