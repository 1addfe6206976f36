"""The same architecture with randomly initialised weights: a null for what a trained model's states encode."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import accelerate
import torch

from spillover.core.errors import ModelError
from spillover.core.files import hash_of
from spillover.core.types import ModelRef
from spillover.models.load import Model


def randomly_initialised(model: Model, seed: int) -> Model:
    """A model of the same config, tokenizer, device and dtype, with freshly initialised weights.

    The same seed gives the same weights on the same machine. An adapter is left out, as its initial update is zero,
    and so is an intervention, which was made from the trained weights.
    Needs memory for a second model: ModelError where layers of the first are on disk.
    """
    module: Any = model.module
    base = module.get_base_model() if hasattr(module, "peft_config") else module
    config = copy.deepcopy(base.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(base)(config)
    fingerprint = hash_of(
        ["untrained", seed, {name: list(weights.shape) for name, weights in fresh.named_parameters()}]
    )
    ref = ModelRef(f"{model.ref.name}, random weights", None, None, fingerprint)
    places = getattr(base, "hf_device_map", None) or {}
    if "disk" in map(str, places.values()):
        raise ModelError(
            f"{model.ref.name} has layers on disk by model.device_map: a second model with random weights has no place",
            hint="--set probe.random_weights=false",
        )
    fresh = fresh.to(model.dtype)
    fresh = accelerate.dispatch_model(fresh, places) if len(places) > 1 else fresh.to(model.device)
    return replace(model, ref=ref, module=fresh.eval(), intervention=None)
