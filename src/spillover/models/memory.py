"""What a model's weights need, and what memory there is: known before anything is loaded or downloaded.

1. Sizes of tensors from the headers of safetensors files, in a folder or through the hub's metadata.
2. Their bytes in the precision that is asked for, by device.
3. What each device has free: a GPU's own count; of the machine's memory what is available, or less in a container.

Weights that cannot fit are refused. Keys, values and activations are an estimate, for one line of the log.
"""

from __future__ import annotations

import json
import logging
import math
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import torch

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ModelError

log = logging.getLogger(__name__)

LONGEST_HEADER = 100 << 20
# Bytes a weight in bitsandbytes' formats, their scales included (nf4 with double quantisation).
QUANTISED_BYTES = {"4bit": 0.516, "8bit": 1.01}
NEVER_QUANTISED = ("embed", "lm_head", "wte", "wpe")
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
# Tokens of an item, about: each has one row of logits.
TOKENS_PER_ITEM = 32
# Scores of attention that exist at once on a GPU, see `fast.prefix_attention`.
BLOCK_SCORES = 1 << 25

Shapes = Mapping[str, tuple[int, ...]]


def gibibytes(size: float) -> str:
    """A number of bytes for a person: "14.9 GiB"."""
    return f"{size / 2**30:.1f} GiB"


def tensor_shapes(path: str, revision: str | None = None) -> Shapes | None:
    """The shape of every tensor by its name, without reading one: from a folder, or from the hub's metadata. None where
    there are no safetensors, or the hub cannot be asked."""
    folder = Path(path)
    if folder.is_dir():
        shapes: dict[str, tuple[int, ...]] = {}
        for file in sorted(folder.glob("*.safetensors")):
            shapes |= _header_shapes(file)
        return shapes or None
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return None
    try:
        metadata = huggingface_hub.get_safetensors_metadata(path, revision=revision)
    except Exception as error:  # noqa: BLE001  # loading itself says what is wrong with the name
        log.debug("no metadata of %s: %s", path, error)
        return None
    files = metadata.files_metadata.values()
    return {name: tuple(tensor.shape) for file in files for name, tensor in file.tensors.items()}


def weight_bytes(shapes: Shapes, dtype: torch.dtype, quantise: str | None) -> dict[str, float]:
    """Bytes of every tensor in memory. quantise: of the linear layers, "4bit", "8bit" or None."""
    return {name: math.prod(shape) * _bytes_each(name, shape, dtype, quantise) for name, shape in shapes.items()}


def by_device(sizes: Mapping[str, float], device_map: Mapping[str, Any]) -> dict[str, float]:
    """Bytes on each device of a device map; a tensor belongs to the longest name in it that its own begins with."""
    totals: dict[str, float] = {}
    for name, size in sizes.items():
        modules = [module for module in device_map if not module or f"{name}.".startswith(f"{module}.")]
        if modules:
            device = str(device_map[max(modules, key=len)])
            totals[device] = totals.get(device, 0) + size
    return totals


def available(device: torch.device) -> int:
    """Bytes that are free on a device: of a GPU's own memory, else of the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_ram()


def available_ram() -> int:
    """Bytes that this process can still take: what the system calls available, or what its container has left."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # no Linux
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([free, *filter(None, (_left_in_cgroup(*files) for files in CGROUPS))])


def check_fits(name: str, needed: float, free: float, *, where: str, dtype: str) -> None:
    """ModelError when weights of `needed` bytes cannot fit into `free` bytes. where, dtype: for the message."""
    if needed > free:
        raise ModelError(
            f"model {name!r}: its weights need {gibibytes(needed)} in {dtype}, {where} has {gibibytes(free)} free",
            hint="--dtype bfloat16, --quantise 4bit, or --device-map auto",
        )


def prefix_bytes(config: Any, element: int) -> int:
    """Bytes that the keys and values of one token of the shared prefix take in all layers. config: a text config of
    transformers. element: bytes of a number."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * _head_width(config) * element)


def activation_bytes(config: Any, tokens: int, element: int) -> int:
    """About how many bytes one forward pass over so many tokens takes beside weights and prefix: one layer's states, a
    block of attention scores, and the logits of the items' label tokens."""
    heads = config.num_attention_heads + 2 * (
        getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    )
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    states = tokens * (4 * config.hidden_size + heads * _head_width(config) + 3 * inner) * element
    logits = tokens // TOKENS_PER_ITEM * config.vocab_size * (element + 4)
    return int(states + BLOCK_SCORES * element + logits)


def requirements(config: Any, sizes: Mapping[str, float], dtype: torch.dtype) -> str:
    """One line: what weights, prefix and activations need."""
    tokens = EvaluateConfig().batch_tokens
    kind = str(dtype).removeprefix("torch.")
    text = f"weights {gibibytes(sum(sizes.values()))} ({kind})"
    try:
        prefix = prefix_bytes(config, dtype.itemsize) / 2**20
        activations = activation_bytes(config, tokens, dtype.itemsize)
    except (AttributeError, TypeError):  # an architecture with names of its own
        return text
    text = f"{text}, shared prefix {prefix:.2f} MiB a token"
    return f"{text}, activations about {gibibytes(activations)} at {tokens} tokens"


def _header_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Shapes in the header of one safetensors file; none where it is damaged, which loading will say."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length)) if length <= LONGEST_HEADER else {}
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return {}


def _bytes_each(name: str, shape: Sequence[int], dtype: torch.dtype, quantise: str | None) -> float:
    linear = len(shape) == 2 and not any(part in name for part in NEVER_QUANTISED)
    return QUANTISED_BYTES[quantise] if quantise and linear else dtype.itemsize


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _left_in_cgroup(limit: str, usage: str, statistics: str) -> int | None:
    """Bytes that a container may still take, pages of files that can be dropped included; None where it has no
    limit."""
    try:
        rows = dict(line.split() for line in Path(statistics).read_text().splitlines())
        left = int(Path(limit).read_text()) - int(Path(usage).read_text()) + int(rows.get("inactive_file", 0))
    except (OSError, ValueError):  # "max"
        return None
    return max(left, 0)
