"""The names under which models are published: no path of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from spillover.core.errors import RunError
from spillover.core.files import read_json

Weights = Literal["merged", "adapter"]
"""What a run's `train` folder may hold, by the name of its folder."""


def name_in_run(adapter: str | None, steer: str | None) -> str:
    """Under which name a model is evaluated and probed unless one is given: its intervention's, tuned, or base."""
    return Path(steer).name if steer else "tuned" if adapter else "base"


def public_name(name: str) -> str:
    """A model's name without the path of this machine: a base from a local folder has the folder's name."""
    return Path(name).name if Path(name).exists() or Path(name).is_absolute() else name


def base_name(folder: Path) -> str:
    """The name of the base, from the note beside the weights. RunError where there is no such note."""
    note = next((path for name in ("spillover.json", "merge.json") if (path := folder / name).is_file()), None)
    if note is None:
        raise RunError(f"{folder}: its base is unknown", hint="`spillover train` or `spillover merge` writes it")
    return str(read_json(note)["base"]["name"])
