"""LoRA adapters through peft: fresh ones on a base, and saved beside the name of the base that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model

from spillover.core.config import TrainConfig
from spillover.core.errors import ModelError
from spillover.core.files import atomic_folder, write_json
from spillover.models.adapter_base import BASE_FILE
from spillover.models.adapter_layers import changed_layers, layer_numbers, layers_name, linear_names
from spillover.models.load import Model, share_weights
from spillover.models.placement import check_no_offload

METHOD_OPTIONS: dict[str, dict[str, bool]] = {"lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}
"""The options of peft's LoraConfig for each `train.method`."""


def with_adapter(base: Model, config: TrainConfig) -> Any:
    """The base's tensors in a module of their own, with a fresh adapter on it. On a base loaded in 4 bits too: its
    layers are frozen as they are, and peft keeps the adapter in float32. ModelError where the adapter does not fit."""
    layers, targets = _places(base, config)
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        layers_to_transform=layers,
        layers_pattern=None if layers is None else [layers_name(base.module)],
        task_type="CAUSAL_LM",
        **METHOD_OPTIONS[config.method],
    )
    check_no_offload(base.module, base.ref.name, "train")
    try:
        module = get_peft_model(share_weights(base.module), adapter)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ModelError(
            f"train.targets {config.targets}: no {config.method} adapter for {base.ref.name} ({reason})",
            hint="--set train.targets=all-linear, or the names of its linear layers",
        ) from None

    assert layers is None or set(changed_layers(module)) <= set(layers), "peft found other layers by their names"
    return module


def _places(base: Model, config: TrainConfig) -> tuple[list[int] | None, list[str] | str]:
    """(the layers that get an adapter, None for all; the names of their modules). peft takes all-linear for all layers
    alone."""
    if config.layers is None:
        return None, config.targets
    layers = [*layer_numbers(config.layers, base.layers, "train.layers")]
    return layers, linear_names(base.module) if config.targets == "all-linear" else config.targets


def save_adapter(module: Any, base: Model, folder: Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write the adapter in peft's own format, with a note that names the base. facts: what else the note says."""
    with atomic_folder(folder) as partial:
        module.save_pretrained(partial)
        write_json(partial / BASE_FILE, {"base": asdict(replace(base.ref, adapter=None))} | dict(facts or {}))
