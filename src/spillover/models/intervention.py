"""An intervention on disk and in memory: what is added to which hidden states, in which language. No training.

`<folder>/vectors.safetensors` holds a tensor for each language and layer, `<language>/<layer>`: a vector [hidden] that
is added to the state, or a map [hidden, hidden] whose image of the state is added. `<folder>/intervention.json` says
how it was made, and for which base. Layers are hidden states as `steering` counts them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spillover.core.config import Positions, SteeringMethod
from spillover.core.errors import DataError, ModelError, first_problem
from spillover.core.files import atomic_folder, hash_of, read_json, write_json
from spillover.core.types import ModelRef

VECTORS, DESCRIPTION = "vectors.safetensors", "intervention.json"

Null = Literal["random", "other-language", "shuffled"]
NULLS: tuple[Null, ...] = get_args(Null)


def null_name(name: str, null: Null) -> str:
    """The name of an intervention's null, whose folder lies beside its own."""
    return f"{name}-{null}"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(_Part):
    """The model that an intervention was made from, with what must fit."""

    name: str
    fingerprint: str
    layers: int
    hidden: int


class HeldOut(_Part):
    """The items of a task on which layers and strength were chosen: they are not scored with the intervention."""

    task: str
    ids: tuple[str, ...]


class Description(_Part):
    """intervention.json. null: which null of the method this is; None for the intervention itself. languages: those
    that it changes; the reference language is left as it is. data: a hash of the parallel text. facts: how it was
    chosen and fitted, for a reader; nothing depends on them."""

    method: SteeringMethod
    null: Null | None
    layers: tuple[int, ...]
    strength: float
    positions: Positions
    languages: tuple[str, ...]
    reference: str
    base: Base
    data: str
    sentences: int
    held_out: HeldOut | None = None
    facts: dict[str, Any] = {}


@dataclass(frozen=True)
class Intervention:
    """name: its folder's. tensors: float32 by language and layer, [hidden] or [hidden, hidden]. key: a hash of all that
    a score depends on."""

    name: str
    description: Description
    tensors: Mapping[str, Mapping[int, Tensor]]
    key: str

    def changes(self, language: str) -> Mapping[int, Tensor]:
        """What is added in a language, by layer; nothing in the reference language. ModelError for a language that the
        intervention does not know."""
        if language == self.description.reference:
            return {}
        if language not in self.tensors:
            raise ModelError(
                f"intervention {self.name}: it has no vector for {language}",
                hint=f"it has {', '.join(self.tensors)}: --lang with these, or parallel text in {language}",
            )
        return self.tensors[language]


def new_intervention(
    name: str, description: Description, arrays: Mapping[str, Mapping[int, NDArray[np.floating]]]
) -> Intervention:
    """An intervention in memory. arrays: by language and layer. ModelError where one is not finite."""
    tensors = {
        code: {layer: torch.from_numpy(np.array(array, dtype=np.float32)) for layer, array in by_layer.items()}
        for code, by_layer in arrays.items()
    }
    _check_finite(name, tensors)
    return Intervention(name, description, tensors, _key(description, tensors))


def write_intervention(folder: Path, intervention: Intervention) -> None:
    """Write the folder, whole or not at all."""
    flat = {
        f"{code}/{layer}": tensor.contiguous()
        for code, by_layer in intervention.tensors.items()
        for layer, tensor in by_layer.items()
    }
    with atomic_folder(folder) as partial:
        save_file(flat, partial / VECTORS)
        write_json(partial / DESCRIPTION, intervention.description.model_dump(mode="json"))


def read_intervention(folder: Path) -> Intervention:
    """The intervention in a folder. DataError when it is missing or damaged."""
    if not (folder / DESCRIPTION).is_file():
        raise DataError(f"{folder}: no intervention ({DESCRIPTION} is missing)", hint="give <run>/steer/<name>")
    try:
        description = Description.model_validate(read_json(folder / DESCRIPTION))
        flat = load_file(folder / VECTORS)
        tensors = {
            code: {layer: flat[f"{code}/{layer}"] for layer in description.layers} for code in description.languages
        }
    except (ValidationError, SafetensorError, OSError, KeyError) as error:
        raise DataError(f"{folder}: damaged intervention: {_reason(error)}", hint="`spillover steer` again") from None
    _check_finite(str(folder), tensors)
    return Intervention(folder.name, description, tensors, _key(description, tensors))


def check_intervention(intervention: Intervention, ref: ModelRef, layers: int, hidden: int) -> None:
    """ModelError when the intervention was made for another base than `ref`, or changes nothing. layers, hidden: the
    model's."""
    name, description = intervention.name, intervention.description
    base = description.base
    if (base.layers, base.hidden) != (layers, hidden):
        raise ModelError(
            f"intervention {name}: made for {base.layers} layers of width {base.hidden}, {ref.name} has {layers} of "
            f"{hidden}",
            hint=f"--model {base.name}, or `spillover steer --model {ref.name}`",
        )
    if base.fingerprint != ref.fingerprint:
        raise ModelError(
            f"intervention {name}: made for {base.name} ({base.fingerprint}), not for {ref.name} ({ref.fingerprint})",
            hint=f"--model {base.name} with the adapter it had, or `spillover steer --model {ref.name}`",
        )
    nothing = not any(tensor.any() for own in intervention.tensors.values() for tensor in own.values())
    if nothing or description.strength == 0:
        raise ModelError(f"intervention {name}: it changes nothing", hint="another steer.strength, other parallel text")


def _check_finite(name: str, tensors: Mapping[str, Mapping[int, Tensor]]) -> None:
    for code, by_layer in tensors.items():
        for layer, tensor in by_layer.items():
            if not torch.isfinite(tensor).all():
                raise ModelError(
                    f"intervention {name}: {code} is not finite at layer {layer}",
                    hint="--dtype float32, and steer again",
                )


def _key(description: Description, tensors: Mapping[str, Mapping[int, Tensor]]) -> str:
    """A hash of what scores depend on: not the base's name, nor the facts. The base's weights have their own hash."""
    digest = hashlib.sha256(hash_of(description.model_dump(mode="json", exclude={"base", "facts"})).encode())
    for code, by_layer in sorted(tensors.items()):
        for layer, tensor in sorted(by_layer.items()):
            digest.update(f"{code}/{layer}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_problem(error.errors())
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
