"""GGUF files → folders of safetensors in the cache, once; models are loaded from there like any other."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from spillover.core.errors import MissingExtra, ModelError, first_line
from spillover.core.files import PARTIAL, atomic_folder, hash_files
from spillover.core.locks import locked
from spillover.core.types import Progress, no_progress
from spillover.models.gguf_reader import open_gguf, reading_with
from spillover.models.memory import gibibytes

log = logging.getLogger(__name__)

SUFFIX = ".gguf"
MAGIC = b"GGUF"
LFS_POINTER = b"version https://git-lfs"
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
FLOAT32_BYTES = 4
# Of the weights' size, left free for the tokenizer and the file system's own needs.
SPARE = 1.02


def cache_folder() -> Path:
    """Where converted models are kept: $SPILLOVER_CACHE, else the user's cache folder."""
    chosen = os.environ.get("SPILLOVER_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spillover"


def make_cache_folder() -> Path:
    """`cache_folder`, which exists then. ModelError where it cannot be made."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"{folder}: the cache folder cannot be made: {error.strerror}", hint="SPILLOVER_CACHE=another folder"
        ) from None
    return folder


def check_room(size: float, what: str) -> None:
    """ModelError when the cache folder's disk has less than `size` bytes free. what: needs them, for the message."""
    free = shutil.disk_usage(make_cache_folder()).free
    if free < size:
        raise ModelError(
            f"{what} needs {gibibytes(size)} in {cache_folder()}, which has {gibibytes(free)} free",
            hint="free some there, or SPILLOVER_CACHE=a folder on another disk",
        )


def gguf_folder(source: Path, progress: Progress = no_progress) -> Path:
    """The folder of a GGUF file's model; converted on first use. A copy of the file is not converted again.

    ModelError when the file is damaged, one of several parts, or of an architecture that transformers cannot read."""
    _check_file(source, str(source))
    return convert_once(source, cache_folder() / f"{source.stem}-{hash_files([source])}", str(source), progress)


def convert_once(source: Path, folder: Path, name: str, progress: Progress = no_progress) -> Path:
    """`folder`, with the model of a GGUF file dequantised to float32 safetensors, and its tokenizer. It is written
    completely or not at all, and by one process alone; another waits for it. name: for messages."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra(f"reading {name} needs gguf", hint="pip install 'spillover[demo]'")
    if (folder / "config.json").is_file():
        return folder
    make_cache_folder()
    with converting(folder):
        if not (folder / "config.json").is_file():
            log.info("converting %s to safetensors, once, into %s", name, folder)
            _convert(source, folder, name, progress)
    return folder


@contextmanager
def converting(folder: Path) -> Iterator[None]:
    """Within the block no other process makes this folder of the cache: it waits. What killed ones left is removed."""
    with locked(folder.with_name(f"{folder.name}.lock"), what=folder, wait=True) as outermost:
        if outermost:
            for half_written in folder.parent.glob(f"{folder.name}.*{PARTIAL}"):
                shutil.rmtree(half_written, ignore_errors=True)
        yield


def _check_file(source: Path, name: str) -> None:
    """ModelError when a file is no GGUF file, or one of several parts."""
    with source.open("rb") as file:
        start = file.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        raise _unreadable(name, "it is a pointer of Git LFS, not the file itself", "git lfs pull")
    if start[: len(MAGIC)] != MAGIC:
        reason = f"it begins with {start[: len(MAGIC)]!r}" if start else "it is empty"
        raise _unreadable(name, f"not a GGUF file: {reason}", "download or copy it again")
    if part := PART.search(source.name):
        raise _unreadable(
            name,
            f"it is part {int(part[1])} of {int(part[2])}",
            f"join them: llama-gguf-split --merge FIRST_PART {source.name[: part.start()]}.gguf",
        )


def _convert(source: Path, folder: Path, name: str, progress: Progress) -> None:
    activity = f"convert {Path(name).name}"
    progress(activity, 0, 1)
    try:
        reader = open_gguf(source)
    except Exception as error:  # noqa: BLE001  # the gguf package raises types of its own
        reason = f"truncated, damaged or of a version that gguf does not know: {first_line(error)}"
        raise _unreadable(name, reason, "download or copy it again, or pip install -U gguf") from None
    size = sum(int(tensor.n_elements) for tensor in reader.tensors) * FLOAT32_BYTES
    check_room(size * SPARE, f"model {name!r}: its conversion to float32")
    with reading_with(reader, lambda done, total: progress(activity, done, total)):
        model, tokenizer = _read(source, name)
        with atomic_folder(folder) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    progress(activity, len(reader.tensors), len(reader.tensors))


def _read(source: Path, name: str) -> tuple[Any, Any]:
    """(model in float32, tokenizer) of a GGUF file. ModelError where transformers cannot read it."""
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        quantised = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    except Exception as error:  # noqa: BLE001
        readable = ", ".join(transformers.modeling_gguf_pytorch_utils.GGUF_SUPPORTED_ARCHITECTURES)
        raise _unreadable(name, first_line(error), f"transformers reads GGUF files of {readable}") from None
    config = quantised.config
    # A model that remembers a quantisation refuses to be saved, so the weights move into one that never had any.
    del config.quantization_config
    config._name_or_path = source.stem
    with torch.device("meta"):
        plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict(), assign=True)
    plain.tie_weights()
    return plain, tokenizer


def _unreadable(name: str, reason: str, hint: str) -> ModelError:
    return ModelError(f"model {name!r} cannot be read: {reason}", hint=hint)
