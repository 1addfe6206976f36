"""A hash of a model's weights, quick for large ones, that differs between two models of the same shape."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.errors import ModelError
from spillover.core.files import hash_of, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
BLOCK, BLOCKS = 1 << 16, 64
ADAPTER_CONFIG = "adapter_config.json"
DESCRIPTIVE = ("base_model_name_or_path", "revision", "peft_version", "auto_mapping", "inference_mode", "task_type")


def fingerprint_of(path: str, module: Any) -> str:
    """A hash of the weights on disk, or the hub's commit for a model that came from there."""
    folder = Path(path)
    if folder.is_dir():
        return hash_weights(folder)
    commit = getattr(module.config, "_commit_hash", None)
    if not commit:
        raise ModelError(f"model {path!r}: its commit is unknown", hint="give --revision with a commit hash")
    return hashlib.sha256(f"{path}@{commit}".encode()).hexdigest()[:16]


def hash_weights(folder: Path) -> str:
    """A hash of the weight files in a folder: of their names, sizes and 64 evenly spaced blocks. Quick for a 100 GB
    model too, and any tuning changes them."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            for start in sorted({min(i * size // BLOCKS, max(size - BLOCK, 0)) for i in range(BLOCKS)}):
                file.seek(start)
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]


def vocabulary_key(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of every token and its id."""
    return hash_of(sorted(tokenizer.get_vocab().items()))


def hash_adapter(folder: Path) -> str:
    """A hash of an adapter's weights, and of the settings that scale and place them."""
    config = read_json(folder / ADAPTER_CONFIG)
    # peft writes sets in any order.
    settings = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    return hash_of([hash_weights(folder), {key: settings[key] for key in settings if key not in DESCRIPTIVE}])
