"""Which layers of a model an adapter changes: the words for layers, and an adapter of which only some are kept.

Layers are counted from 0, and are the model's blocks. `outer` is the first quarter and the last, `middle` the half
between them: fixed beforehand, whatever the model. An adapter's module is taken out of a layer, not scaled to zero, so
that the layer computes exactly what the base's does, with any method.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from transformers.pytorch_utils import Conv1D

from spillover.core.errors import ConfigError, ModelError
from spillover.models.blocks import blocks

OUTER, MIDDLE = "outer", "middle"
HINT = f"{OUTER}, {MIDDLE}, or numbers from 0 as in 0-3,10"


def layer_numbers(layers: str, count: int, where: str) -> tuple[int, ...]:
    """The layers of a model with `count` blocks that `layers` names, in order, each once. where: the key that says so.
    ConfigError for what names no layer, or one that the model does not have."""
    chosen: set[int] = set()
    for part in layers.replace(" ", "").split(","):
        chosen.update(_part_numbers(part, count, f"{where}: {layers!r}"))
    if not chosen or max(chosen) >= count:
        raise ConfigError(f"{where}: {layers!r}: the model has {count} layers, 0 to {count - 1}", hint=HINT)
    return tuple(sorted(chosen))


def _part_numbers(part: str, count: int, place: str) -> Iterable[int]:
    edge = max(1, count // 4)
    middle = range(edge, count - edge)
    if part == MIDDLE:
        return middle
    if part == OUTER:
        return (number for number in range(count) if number not in middle)
    first, dash, last = part.partition("-")
    if not (first.isdecimal() and (last.isdecimal() if dash else not last)) or int(last or first) < int(first):
        raise ConfigError(f"{place}: {part!r} names no layers", hint=HINT)
    # One beyond the model is enough to be refused.
    return range(int(first), min(int(last or first), max(int(first), count)) + 1)


def layers_text(numbers: Sequence[int]) -> str:
    """Layers in the shortest form, as in 0-3,10."""
    starts = [number for before, number in pairwise((-2, *numbers)) if number > before + 1]
    ends = [number for number, after in pairwise((*numbers, numbers[-1] + 2)) if after > number + 1]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def layers_name(module: Any) -> str:
    """The name of the list of blocks within the decoder, as in `layers`."""
    first = blocks(module)[0]
    lists: dict[str, torch.nn.Module] = dict(module.get_decoder().named_children())
    return next(name for name, child in lists.items() if next(child.children(), None) is first)


def linear_names(module: Any) -> list[str]:
    """Names, without their paths, of all linear layers in the blocks."""
    linear = (torch.nn.Linear, Conv1D)
    names = [name for block in blocks(module) for name, child in block.named_modules() if isinstance(child, linear)]
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def changed_layers(module: Any) -> dict[int, list[str]]:
    """By layer, the names within it of the modules that an adapter changes; only layers that have any."""
    found: dict[int, list[str]] = {}
    for number, block in enumerate(blocks(module)):
        for name, child in block.named_modules():
            names = found.get(number, [])
            # Some methods wrap a module several times: the outermost stands for all of them.
            if isinstance(child, BaseTunerLayer) and not any(name.startswith(f"{outer}.") for outer in names):
                found[number] = [*names, name]
    return found


def keep_layers(module: Any, numbers: Sequence[int], adapter: str, written: Collection[str] = ()) -> None:
    """Take the adapter out of all layers but `numbers`. written: the base's own weights that its file replaced.

    ModelError when none of these layers has any of it, or when it changes weights that it cannot be taken out of:
    those that it replaces as a whole, and those that are in no layer, as embeddings."""
    changed = changed_layers(module)
    outside = [*_outside(module), *sorted(written)]
    if outside:
        raise ModelError(
            f"adapter {adapter!r}: it replaces {outside[0]}, or changes it in no layer: layers cannot be left out",
            hint="without --adapter-layers, or an adapter that adds to linear layers alone",
        )
    if not set(changed) & set(numbers):
        raise ModelError(
            f"adapter {adapter!r}: it changes none of the layers {layers_text(numbers)}, but {layers_text([*changed])}",
            hint="--adapter-layers with some of these",
        )
    for number, block in enumerate(blocks(module)):
        for name in changed.get(number, ()):
            if number not in numbers:
                block.set_submodule(name, block.get_submodule(name).get_base_layer())  # type: ignore[operator]


def _outside(module: Any) -> list[str]:
    """Names of what an adapter changes outside the blocks, and of whole modules that it replaces."""
    inside = {id(child) for block in blocks(module) for child in block.modules()}
    return [
        name
        for name, child in module.get_base_model().named_modules()
        if isinstance(child, AuxiliaryTrainingWrapper)
        or (isinstance(child, BaseTunerLayer) and id(child) not in inside)
    ]
