"""Layer swapping: some layers of one adapter, the others of a second, as an adapter of its own.

Bandarkar et al. 2024 (arXiv 2410.01335) swap whole layers of two tuned models: the outer ones of a language's expert
around the middle of a task's. Of two adapters on one base these are layers of their updates. The result is an ordinary
adapter folder. Its logits are those of the two adapters' own modules, side by side, or nothing is written.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer

from spillover.core.config import ModelConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.core.model_names import public_name
from spillover.core.types import ModelRef
from spillover.models.adapter_layers import changed_layers, layer_numbers, layers_text
from spillover.models.blocks import blocks
from spillover.models.load import BASE_ALONE, Model, attach_adapter, load_model, same_logits, share_weights
from spillover.models.served_model import refuse_server
from spillover.stages.train.adapters import save_adapter

# Where two adapters may differ: what the swapped one writes for each module, and what changes no output.
PER_MODULE = {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "layers_to_transform",
              "layers_pattern", "exclude_modules"}  # fmt: skip
WITHOUT_EFFECT = {"base_model_name_or_path", "revision", "peft_version", "auto_mapping", "inference_mode", "task_type",
                  "lora_dropout", "init_lora_weights"}  # fmt: skip


def swap_layers(config: ModelConfig, outer: str, inner: str, out: Path, *, layers: str = "middle") -> ModelRef:
    """Write to the folder `out` an adapter with the layers `layers` of the adapter `inner` and all others of `outer`.

    config: the base of both. layers: `middle`, `outer`, or numbers from 0 as in 0-3,10. Returns the result as it loads.
    ConfigError for layers that leave one of the two without any, and for a server. ModelError as `attach_adapter`, and
    where the two are not LoRA adapters of one kind.
    """
    if config.server:
        refuse_server("swap")
    base = load_model(**config.model_dump() | BASE_ALONE)
    numbers = layer_numbers(layers, base.layers, "--layers")
    others = [number for number in range(base.layers) if number not in numbers]
    if not others:
        raise ConfigError(f"--layers {layers!r}: all layers of {base.ref.name}", hint="that is the second adapter")
    sides = [
        attach_adapter(base, adapter, layers=layers_text(kept)) for adapter, kept in ((outer, others), (inner, numbers))
    ]
    kind = _common_config(outer, inner, sides)
    swapped = _swapped(base, kind, sides)
    note = {"outer": outer, "inner": inner}
    facts = {
        "layers": layers_text(numbers),
        **{name: {"name": public_name(adapter), "fingerprint": side.ref.fingerprint}
           for (name, adapter), side in zip(note.items(), sides, strict=True)},
    }  # fmt: skip
    if not same_logits(replace(base, module=swapped), _composed(sides, numbers)):
        raise ModelError(f"{out}: it would not be what its two adapters compute", hint="report this model")
    save_adapter(swapped, base, out, {"swapped": facts})
    return attach_adapter(base, str(out)).ref


def _common_config(outer: str, inner: str, sides: list[Model]) -> Any:
    """The first adapter's config. ModelError where the two differ in what no module can have for itself."""
    configs = [side.module.peft_config["default"] for side in sides]
    for adapter, config in zip((outer, inner), configs, strict=True):
        if not isinstance(config, LoraConfig):
            raise ModelError(f"adapter {adapter!r}: {config.peft_type.value}, not LoRA", hint="swap LoRA adapters")
    first, second = configs
    names = {field.name for field in fields(first)} - PER_MODULE - WITHOUT_EFFECT
    differing = sorted(name for name in names if getattr(first, name) != getattr(second, name))
    if differing:
        name = differing[0]
        raise ModelError(
            f"adapters {outer!r} and {inner!r} differ in {name} ({getattr(first, name)}, {getattr(second, name)})",
            hint="train both with one train.method",
        )
    return first


def _swapped(base: Model, kind: Any, sides: list[Model]) -> Any:
    """A module with both adapters' tensors, each module with its own rank and alpha."""
    modules = {
        name: child
        for side in sides
        for name, child in side.module.get_base_model().named_modules()
        if isinstance(child, LoraLayer)
    }
    config = copy.deepcopy(kind)
    config.target_modules = set(modules)
    config.rank_pattern = {name: child.r["default"] for name, child in modules.items()}
    config.alpha_pattern = {name: child.lora_alpha["default"] for name, child in modules.items()}
    config.layers_to_transform = config.layers_pattern = config.exclude_modules = None
    swapped = get_peft_model(share_weights(base.module), config)
    tensors = [get_peft_model_state_dict(side.module, save_embedding_layers=False) for side in sides]
    set_peft_model_state_dict(swapped, tensors[0] | tensors[1])
    return swapped.eval()


def _composed(sides: list[Model], numbers: tuple[int, ...]) -> Model:
    """The first model with the second's modules in the layers `numbers`; for comparison alone, both are changed."""
    first, second = sides
    for number in numbers:
        block, other = blocks(first.module)[number], blocks(second.module)[number]
        for name in changed_layers(second.module).get(number, ()):
            block.set_submodule(name, other.get_submodule(name))
    return first
