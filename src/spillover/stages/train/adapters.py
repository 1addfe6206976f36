"""LoRA adapters through peft: fresh ones on a base, and saved beside the name of the base that they belong to."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model

from spillover.core.config import TrainConfig
from spillover.core.errors import ModelError
from spillover.core.files import atomic_folder, write_json
from spillover.models.adapter_base import BASE_FILE
from spillover.models.load import Model, share_weights
from spillover.models.placement import check_no_offload

METHOD_OPTIONS: dict[str, dict[str, bool]] = {"lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}
"""The options of peft's LoraConfig for each `train.method`."""


def with_adapter(base: Model, config: TrainConfig) -> Any:
    """The base's tensors in a module of their own, with a fresh adapter on it. On a base loaded in 4 bits too: its
    layers are frozen as they are, and peft keeps the adapter in float32. ModelError where the adapter does not fit."""
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
        **METHOD_OPTIONS[config.method],
    )
    check_no_offload(base.module, base.ref.name, "train")
    try:
        return get_peft_model(share_weights(base.module), adapter)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ModelError(
            f"train.targets {config.targets}: no {config.method} adapter for {base.ref.name} ({reason})",
            hint="--set train.targets=all-linear, or the names of its linear layers",
        ) from None


def save_adapter(module: Any, base: Model, folder: Path) -> None:
    """Write the adapter in peft's own format, with a note that names the base."""
    with atomic_folder(folder) as partial:
        module.save_pretrained(partial)
        write_json(partial / BASE_FILE, {"base": asdict(replace(base.ref, adapter=None))})
