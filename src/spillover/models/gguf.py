"""GGUF files → folders of safetensors in the cache, once; models are loaded from there like any other."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path

import torch
import transformers
from filelock import FileLock

from spillover.core.errors import MissingExtra, ModelError, first_line
from spillover.core.files import atomic_folder, hash_files

log = logging.getLogger(__name__)

SUFFIX = ".gguf"


def cache_folder() -> Path:
    """Where converted models are kept: $SPILLOVER_CACHE, else the user's cache folder."""
    chosen = os.environ.get("SPILLOVER_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spillover"


def gguf_folder(source: Path) -> Path:
    """The folder of a GGUF file's model; converted on first use. A copy of the file is not converted again.

    ModelError when the file is damaged, or of an architecture that transformers cannot read."""
    return convert_once(source, cache_folder() / f"{source.stem}-{hash_files([source])}", str(source))


def convert_once(source: Path, folder: Path, name: str) -> Path:
    """`folder`, with the model of a GGUF file dequantised to float32 safetensors, and its tokenizer. It is written
    completely or not at all, and by one process alone; another waits for it. name: for messages."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra(f"reading {name} needs gguf", hint="pip install 'spillover[demo]'")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "config.json").is_file():
            log.info("converting %s to safetensors, once, into %s", name, folder)
            _convert(source, folder, name)
    return folder


def _convert(source: Path, folder: Path, name: str) -> None:
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        with _without_progress():
            quantised = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    except Exception as error:  # noqa: BLE001  # the gguf package raises types of its own
        readable = ", ".join(transformers.modeling_gguf_pytorch_utils.GGUF_SUPPORTED_ARCHITECTURES)
        raise ModelError(
            f"model {name!r} cannot be read: {first_line(error)}", hint=f"transformers reads GGUF files of {readable}"
        ) from None
    config = quantised.config
    # A model that remembers a quantisation refuses to be saved, so the weights move into one that never had any.
    del config.quantization_config
    config._name_or_path = source.stem
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    with atomic_folder(folder) as partial:
        plain.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


@contextmanager
def _without_progress() -> Iterator[None]:
    """The converter draws a progress bar; it would fill a log with lines, and cannot be turned off."""
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
        yield
