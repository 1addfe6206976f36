"""JSON parts of a zip, also those packed with zstandard, within bounds: what unpacks to the size of a disk is refused.

`zipfile` knows zstandard from Python 3.14 on. Until then it hands out the packed bytes of such a part as if they were
stored, and Arrow unpacks them.
"""

from __future__ import annotations

import copy
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from spillover.core.errors import DataError
from spillover.core.files import parse_json

ZSTANDARD = 93  # the zip format's number for it
BLOCK = 1 << 20
LARGEST_PART = 256 << 20  # bytes unpacked; as Python objects JSON takes up to twenty times as many
LARGEST_RATIO = 500  # of all parts together to the file; transcripts that repeat themselves reach a tenth of it
ALWAYS_ALLOWED = 64 << 20  # bytes unpacked, whatever the ratio
# zipfile raises RuntimeError for a part with a password, and its NotImplementedError for an unknown compression.
BROKEN = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


class ZipParts:
    """The parts of one open zip. It counts what they unpack to, over all parts that are read."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.names = archive.namelist()
        self._archive = archive
        self._budget = max(ALWAYS_ALLOWED, LARGEST_RATIO * path.stat().st_size)

    def json(self, name: str) -> Any:
        """The JSON of one part. DataError when it is damaged, no JSON or too large."""
        return parse_json(self._bytes(name), f"{self.path}: {name}")

    def _bytes(self, name: str) -> bytearray:
        info, unpacked = self._archive.getinfo(name), bytearray()
        with self._opened(info) as stream:
            while block := stream.read(BLOCK):
                unpacked += block
                self._budget -= len(block)
                if len(unpacked) > LARGEST_PART or self._budget < 0:
                    raise DataError(
                        f"{self.path}: {name} unpacks to more than {len(unpacked) >> 20} MB",
                        hint="if it is meant to be so large, convert the log to .json",
                    )
        if zlib.crc32(unpacked) != info.CRC:
            raise zipfile.BadZipFile(f"bad CRC-32 of {name}")
        return unpacked

    @contextmanager
    def _opened(self, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
        if info.compress_type != ZSTANDARD:
            with self._archive.open(info) as stream:
                yield stream
            return
        import pyarrow as pa

        packed = copy.copy(info)
        packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
        del packed.CRC  # it is of the unpacked bytes
        with (
            self._archive.open(packed) as stream,
            pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd") as plain,
        ):
            yield plain


@contextmanager
def open_zip(path: Path, *, hint: str) -> Iterator[ZipParts]:
    """The parts of a zip. DataError when it is missing, and with `hint` when it or a part that is read is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield ZipParts(path, archive)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except BROKEN as error:
        raise DataError(f"{path}: not a readable {path.suffix} log: {error}", hint=hint) from None
