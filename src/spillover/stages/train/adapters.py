"""Adapters by name, through peft: put fresh ones onto a base, save them beside what they belong to."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from spillover.core.config import TrainConfig
from spillover.core.errors import ModelError
from spillover.core.files import atomic_folder, write_json
from spillover.models.load import BASE_FILE, Model, share_weights

# How peft's LoraConfig is told of each method. PiSSA and OLoRA move a part of the base's weights into the adapter.
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
}
CHANGES_BASE = {"pissa", "olora"}
ADAPTER = "default"
INITIAL = "initial"


def with_adapter(base: Model, config: TrainConfig) -> Any:
    """The base's tensors in a module of their own, with a fresh adapter on it. On a base loaded in 4 bits too: its
    layers are frozen as they are, and peft keeps the adapter in float32."""
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
        **METHODS[config.method],
    )
    module = share_weights(base.module)
    if config.method in CHANGES_BASE:
        if getattr(base.module, "quantization_method", None):
            raise ModelError(
                f"train.method {config.method}: changes the base's weights, and these are quantised",
                hint="--set train.method=lora, or load the base whole",
            )
        _own_weights(module, config.targets)
    try:
        return get_peft_model(module, adapter)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:120]
        if "target" in reason.lower():
            raise ModelError(
                f"train.targets {config.targets}: not in {base.ref.name} ({reason})",
                hint="--set train.targets=all-linear, or the names of its linear layers",
            ) from None
        raise ModelError(
            f"train.method {config.method}: not for this base ({reason})", hint="--set train.method=lora"
        ) from None


def _own_weights(module: Any, targets: list[str] | str) -> None:
    """Give the layers that will be changed tensors of their own: the base that was given stays what it was."""
    for name, layer in module.named_modules():
        wanted = targets == "all-linear" or any(name == target or name.endswith(f".{target}") for target in targets)
        if wanted and isinstance(layer, torch.nn.Linear) and layer is not module.get_output_embeddings():
            layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)


def keep_initial(module: Any, config: TrainConfig, folder: Path) -> None:
    """For a method that changes the base: the adapter as it starts, which makes the tuned one plain LoRA at the end."""
    if config.method not in CHANGES_BASE:
        return
    own = module.peft_config[ADAPTER]
    method, own.init_lora_weights = own.init_lora_weights, True
    try:
        with atomic_folder(folder) as partial:
            module.save_pretrained(partial)
    finally:
        own.init_lora_weights = method


def save_adapter(module: Any, base: Model, folder: Path, initial: Path) -> None:
    """In peft's own format, for the base as it was given, with a note of which that is."""
    options = {"path_initial_model_for_weight_conversion": str(initial)} if initial.is_dir() else {}
    with atomic_folder(folder) as partial, warnings.catch_warnings():
        # peft warns of the change to the base that is being taken back here.
        warnings.filterwarnings("ignore", message=".*changes the base weights", category=UserWarning)
        module.save_pretrained(partial, **options)
        write_json(partial / BASE_FILE, {"base": asdict(replace(base.ref, adapter=None))})
