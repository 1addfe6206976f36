"""`spillover swap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.config_options import config_options
from spillover.cli.terminal import show
from spillover.core.config import RunConfig


@config_options("model.name", "model.revision", "model.dtype", "model.device")
def swap(
    outer: Annotated[str, typer.Argument(help="The adapter of all other layers.", show_default=False)],
    inner: Annotated[str, typer.Argument(help="The adapter of the layers --layers.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new adapter.")],
    config: RunConfig,
    layers: Annotated[
        str, typer.Option(help="Layers taken from the second: middle, outer, or numbers from 0 as in 0-3,10.")
    ] = "middle",
) -> None:
    """Make one adapter of two: the middle layers of the second in the first."""
    from spillover.core.errors import RunError
    from spillover.stages.train.swapping import swap_layers

    if out.exists():
        raise RunError(f"{out}: exists", hint="another --out, or delete it")
    ref = swap_layers(config.model, outer, inner, out, layers=layers)
    show(f"wrote {out} ({ref.fingerprint})")
