"""Where a model's layers are, in what precision, and with which attention: options of transformers, checked first.

With a device map, accelerate's hooks move what a layer is given to the layer's device, and load what is on disk.
"""

from __future__ import annotations

import atexit
import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

from spillover.core.errors import MissingExtra, ModelError
from spillover.models.memory import available, available_ram, by_device, check_fits, gibibytes

log = logging.getLogger(__name__)

DeviceMap = str | Mapping[str, str | int]
OFF_GPU = ("cpu", "disk")


def quantisation(kind: str | None, compute_dtype: torch.dtype) -> dict[str, Any]:
    """Options that load linear layers in "4bit" or "8bit"; none for None. MissingExtra without bitsandbytes, ModelError
    without a GPU."""
    if kind is None:
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(
            f"model.quantise {kind} needs bitsandbytes", hint="pip install bitsandbytes, or leave model.quantise null"
        )
    if not torch.cuda.is_available():
        raise ModelError(
            f"model.quantise {kind} needs a GPU, and torch finds none here",
            hint="leave model.quantise null; --dtype bfloat16 halves the weights",
        )
    if kind == "8bit":
        return {"quantization_config": transformers.BitsAndBytesConfig(load_in_8bit=True)}
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=compute_dtype,
        bnb_4bit_use_double_quant=True,
    )
    return {"quantization_config": config}


def attention(kind: str, config: Any, device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """The option that chooses a model's attention. "auto": eager where attention logits are capped, as older
    transformers choose one that does not cap them; else transformers' choice. MissingExtra or ModelError where flash
    attention cannot run."""
    if kind == "auto":
        capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
        return {"attn_implementation": "eager"} if capped else {}
    if kind == "flash_attention_2":
        if importlib.util.find_spec("flash_attn") is None:
            raise MissingExtra(
                "model.attention flash_attention_2 needs flash-attn",
                hint="pip install flash-attn, or --attention sdpa",
            )
        if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
            name = str(dtype).removeprefix("torch.")
            raise ModelError(
                f"model.attention flash_attention_2 needs a GPU and 16 bits, this is {name} on {device.type}",
                hint="--dtype bfloat16 on a GPU, or --attention sdpa",
            )
    return {"attn_implementation": kind}


def device_map_options(
    device_map: DeviceMap | None, max_memory: Mapping[str | int, str], find_device: Callable[[str], torch.device]
) -> dict[str, Any]:
    """Options that spread a model over devices; none without a device map. find_device: the device of a name, or a
    ModelError, which then also says what named it."""
    if device_map is None:
        return {}
    if isinstance(device_map, Mapping):
        for module, name in device_map.items():
            if name != "disk":
                _check_device(name, f"model.device_map: {module or 'all layers'}", find_device)
    for name in max_memory:
        _check_device(name, "model.max_memory", find_device)
    folder = tempfile.mkdtemp(prefix="spillover-offload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options: dict[str, Any] = {"device_map": device_map, "offload_folder": folder}
    if max_memory:
        options["max_memory"] = {_accelerate_name(name): size for name, size in max_memory.items()}
    return options


def _check_device(name: str | int, where: str, find_device: Callable[[str], torch.device]) -> None:
    try:
        find_device(_torch_name(name))
    except ModelError as error:
        raise ModelError(f"{where}: {error.message}", hint="give a device that is here, cpu or disk") from None


def _torch_name(name: str | int) -> str:
    return f"cuda:{name}" if str(name).isdigit() else str(name)


def _accelerate_name(name: str | int) -> str | int:
    number = str(name).removeprefix("cuda:")
    return int(number) if number.isdigit() else name


def check_memory(
    name: str, sizes: Mapping[str, float], device: torch.device, device_map: DeviceMap | None, dtype: str
) -> None:
    """ModelError when weights cannot fit where they shall go. sizes: bytes by tensor. A map that accelerate makes
    always fits, as what is too much goes to disk; then the log says so."""
    if isinstance(device_map, Mapping):
        for place, needed in by_device(sizes, device_map).items():
            if place != "disk":
                check_fits(name, needed, available(torch.device(_torch_name(place))), where=place, dtype=dtype)
        return
    needed = sum(sizes.values())
    if device_map is None:
        where = "this machine" if device.type != "cuda" else str(device)
        check_fits(name, needed, available(device), where=where, dtype=dtype)
        return
    gpus = sum(available(torch.device("cuda", i)) for i in range(torch.cuda.device_count()))
    if needed > gpus + available_ram():
        log.warning(
            "%s needs %s, this machine has %s: some layers stay on disk, and each pass reads them again",
            name, gibibytes(needed), gibibytes(gpus + available_ram()),
        )  # fmt: skip


def check_tied(name: str, module: Any) -> None:
    """ModelError when two names of one tensor are on different devices."""
    placed = getattr(module, "hf_device_map", None) or {}
    for target, source in (getattr(module, "all_tied_weights_keys", None) or {}).items():
        devices = [next(iter(by_device({tensor: 1}, placed)), None) for tensor in (source, target)]
        if devices[0] != devices[1]:
            raise ModelError(
                f"model {name!r}: model.device_map has {source} on {devices[0]} and {target} on {devices[1]}, which "
                "are one tensor",
                hint="give both the same device, or --device-map auto",
            )


def input_device(module: Any) -> torch.device:
    """Where a spread model takes its token ids."""
    embedding = module.get_input_embeddings()
    device = getattr(getattr(embedding, "_hf_hook", None), "execution_device", None)
    device = embedding.weight.device if device is None else torch.device(device)
    return torch.device("cpu") if device.type == "meta" else device


def is_placed(module: Any) -> bool:
    """Whether transformers has put the model where it belongs: it must not be moved as a whole."""
    return bool(getattr(module, "hf_device_map", None) or getattr(module, "is_quantized", False))


def check_no_offload(module: Any, name: str, what: str) -> None:
    """ModelError when layers are loaded only while they compute. what: needs them in memory, for the message."""
    places = {str(device) for device in (getattr(module, "hf_device_map", None) or {}).values()}
    away = [place for place in OFF_GPU if place in places] if len(places) > 1 or "disk" in places else []
    if away:
        raise ModelError(
            f"{what}: layers of {name} are on {' and '.join(away)} by model.device_map, not in memory",
            hint="merge the adapter first (spillover merge), --quantise 4bit, or more GPUs",
        )
