"""Adapters by name, through peft: put fresh ones onto a base, save them beside what they belong to."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model

from spillover.core.config import TrainConfig
from spillover.core.errors import ModelError
from spillover.core.files import atomic_folder, write_json
from spillover.models.load import BASE_FILE, Model, share_weights


def with_adapter(base: Model, config: TrainConfig) -> Any:
    """The base's tensors in a module of their own, with a fresh adapter on it."""
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(share_weights(base.module), adapter)
    except ValueError as error:
        raise ModelError(
            f"train.targets {config.targets}: not in {base.ref.name} ({str(error).splitlines()[0][:120]})",
            hint="--set train.targets=all-linear, or the names of its linear layers",
        ) from None


def save_adapter(module: Any, base: Model, folder: Path) -> None:
    """In peft's own format, with a note of the base that it was trained on."""
    with atomic_folder(folder) as partial:
        module.save_pretrained(partial)
        write_json(partial / BASE_FILE, {"base": asdict(replace(base.ref, adapter=None))})
