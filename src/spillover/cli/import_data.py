"""`spillover import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_paper(
    checkout: Annotated[Path, typer.Argument(help="Checkout of the paper's repository, or its data folder.")],
    out: Annotated[Path, typer.Option("--out", help="Data folder to write.")] = Path("data/paper"),
    as_shipped: Annotated[bool, typer.Option("--as-shipped", help="Leave the known faults in.")] = False,
) -> None:
    """The paper's data, its known faults repaired and named."""
    from spillover.tasks.paper import CHANGES
    from spillover.tasks.paper import import_paper as import_data

    for change in import_data(checkout, out, as_shipped=as_shipped):
        done = "repaired" if change.applied else "left as shipped"
        print(f"{change.file}: {change.what}: {change.rows} rows, {done}")
    print(f"wrote {out} ({out / CHANGES} names each repair)")
