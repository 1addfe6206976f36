"""The options that several verbs share and that are no config keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spillover.core.file_names import check_file_name

# No colours, no completion of the shell, and no locals in a traceback.
PLAIN: dict[str, Any] = {"pretty_exceptions_enable": False, "add_completion": False, "rich_markup_mode": None}

DATASET = "A data set of `spillover ls datasets`, or a YAML file with a row of your own."
OUT = typer.Option("--out", help="Run folder; made when it does not exist.")
Out = Annotated[Path, OUT]
OptionalOut = Annotated[Path | None, OUT]


def checked_name(name: str | None) -> str | None:
    """The name itself; ConfigError where no file can have it."""
    return None if name is None else check_file_name(name, "--name")


Name = Annotated[
    str | None,
    typer.Option(
        help="Name in the run. [default: base; tuned with an adapter; the intervention's]", callback=checked_name
    ),
]
OnRay = Annotated[
    Literal["ray"] | None,
    typer.Option("--on", help="ray: on the cluster at RAY_ADDRESS, or on one that is started here (docs/sweep.md)."),
]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
