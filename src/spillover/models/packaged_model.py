"""The packaged models as folders: joined from the wheels that carry them, checked, and converted once."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spillover.core.errors import MissingExtra, ModelError
from spillover.core.files import BLOCK, PARTIAL
from spillover.core.types import Progress, no_progress
from spillover.models.gguf import (
    SUFFIX,
    cache_folder,
    check_room,
    convert_once,
    converting,
    gguf_folder,
    make_cache_folder,
)
from spillover.models.registry import packaged_models

log = logging.getLogger(__name__)


def packaged_folder(name: str, progress: Progress = no_progress) -> Path:
    """The folder of a packaged model; on first use it is converted from GGUF (about a minute), and its terms are said.

    MissingExtra says which wheels are missing, ModelError when they hold something else."""
    packaged = packaged_models()[name]
    folder = cache_folder() / f"{name}-{packaged.sha256[:16]}"
    if (folder / "config.json").is_file():
        return folder
    files = packaged.files()
    parts = [path for path in files if path]
    if len(parts) < len(files):
        found = f"{len(parts)} of its {len(files)} parts are" if parts else "it is not"
        raise MissingExtra(f"the packaged model {name!r}: {found} installed", hint=packaged.install)
    log.info("%s is %s under the licence %s: %s", name, packaged.hub, packaged.licence, packaged.terms)
    check_room(sum(part.stat().st_size for part in parts), f"the packaged model {name!r}")
    make_cache_folder()
    with (
        converting(folder),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.", suffix=PARTIAL) as place,
    ):
        joined = Path(place) / f"{name}{SUFFIX}"
        sha256 = _join(parts, joined)
        if sha256 != packaged.sha256:
            raise ModelError(
                f"the packaged model {name!r}: {parts[0].parent} holds other data (sha256 {sha256[:16]}..., expected "
                f"{packaged.sha256[:16]}...)",
                hint=packaged.install.replace("install", "install --force-reinstall"),
            )
        return convert_once(joined, folder, name, progress)


def local_path(name: str, progress: Progress = no_progress) -> str:
    """What transformers loads for a model's name: the folder of a packaged model or a GGUF file, else the name.

    ModelError for a folder that holds GGUF files and no model of transformers'."""
    if name in packaged_models():
        return str(packaged_folder(name, progress))
    path = Path(name)
    if name.endswith(SUFFIX) and path.is_file():
        return str(gguf_folder(path, progress))
    if path.is_dir() and not (path / "config.json").exists() and (inside := sorted(path.glob(f"*{SUFFIX}"))):
        raise ModelError(f"model {name!r}: a folder of GGUF files, without config.json", hint=f"--model {inside[0]}")
    return name


def _join(parts: Sequence[Path], joined: Path) -> str:
    """Write the parts one after the other to `joined`; the hash of all."""
    digest = hashlib.sha256()
    with joined.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(BLOCK):
                    digest.update(block)
                    file.write(block)
    return digest.hexdigest()
