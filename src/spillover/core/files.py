"""Reading and writing: YAML that cannot execute, JSON lines, atomic writes, hashes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.errors import DataError, first_line
from spillover.core.write_failures import writing

if TYPE_CHECKING:
    import pandas as pd

LONGEST_LINE = 16 << 20
LONGEST_YAML = 1 << 20
BLOCK = 1 << 20
LARGEST_YAML = 100_000  # values, aliases expanded
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
RERUN_HINT = "delete it and rerun its stage"
PARTIAL = ".partial"


def resources() -> Path:
    """The folder of the package's own data."""
    return Path(__file__).parent.parent / "resources"


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 mapping (a bare `no` stays text). DataError with file:line for broken YAML or anything else, and for
    what is too large: over `LONGEST_YAML` characters, or `LARGEST_YAML` values where its aliases are expanded."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = read_text(path)
    if len(text) > LONGEST_YAML:
        raise DataError(f"{path}: {len(text) >> 20} MB of YAML", hint=f"at most {LONGEST_YAML >> 20} MB")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DataError(f"{path}:{line}: {error.problem or error.context}", hint="fix the YAML syntax") from None
    except RecursionError:
        raise DataError(f"{path}: broken YAML: nested too deep", hint="fix the YAML syntax") from None
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        # The last four: keys that are lists, impossible dates, malformed numbers.
        raise DataError(f"{path}: broken YAML: {first_line(error)}", hint="fix the YAML syntax") from None
    if _size(value, {}) > LARGEST_YAML:
        raise DataError(f"{path}: more than {LARGEST_YAML:,} values with its aliases expanded", hint="fewer of them")
    if not isinstance(value, dict):
        raise DataError(f"{path}:1: expected `key: value` lines, found {type(value).__name__}")
    return value


def _size(value: Any, known: dict[int, float]) -> float:
    """How many values a YAML value holds, each alias counted as often as it is used; infinite if one holds itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # until it is known: where it is met again inside itself
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, atomically, keys in their order."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False
    with atomic(path) as partial, partial.open("w", encoding="utf-8") as file:
        yaml.dump(dict(value), file)


def read_text(path: Path) -> str:
    """A whole text file; a byte-order mark is dropped. DataError names a missing, unreadable or non-UTF-8 file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _not_utf8(path, line, error) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    """The byte tells what the file is: 0xE4 for "ä" is Latin-1, 0xFF at the start is UTF-16."""
    byte = error.object[error.start]
    return DataError(f"{path}:{line}: not UTF-8 text (byte 0x{byte:02X})", hint="save the file as UTF-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file. DataError with file:line for broken JSON."""
    return parse_json(read_text(path), str(path))


def parse_json(text: str | bytes | bytearray, where: str, *, line: int | None = None, hint: str = "") -> Any:
    """The value of a JSON text. DataError with where:line for text that is no JSON, holds a number of thousands of
    digits or half a character, or is nested too deep. line: of the file, where the text is one line of it."""
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        return _whole_text(json.loads(text), text)
    except (ValueError, RecursionError) as error:
        number = line or (error.lineno if isinstance(error, json.JSONDecodeError) else None)
        place = f"{where}:{number}" if number else where
        raise DataError(f"{place}: broken JSON: {_json_reason(error)}", hint=hint) from None


def _json_reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return error.msg if isinstance(error, json.JSONDecodeError) else first_line(error)


def _whole_text(value: Any, text: str) -> Any:
    """`value`, parsed from the JSON `text`. ValueError where it holds half a character (a lone surrogate), which no
    UTF-8 file can."""
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a character (a lone surrogate)") from None
    return value


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A parquet table. DataError names a file that is damaged, or that lacks one of these columns."""
    import pandas as pd
    import pyarrow as pa

    try:
        table = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"{path}: not a readable table ({reason})", hint=RERUN_HINT) from None
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise DataError(f"{path}: lacks the column {', '.join(lacking)}", hint=RERUN_HINT)
    return table


@contextmanager
def as_data_error(path: Path) -> Iterator[None]:
    """A DataError that names `path`, in place of the errors that content of an unexpected shape raises inside."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"[:160]
        raise DataError(f"{path}: damaged, or of another version ({reason})", hint=RERUN_HINT) from error


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) for each non-blank line, one line in memory at a time. DataError with file:line for a
    broken line, one that is not UTF-8, one of more than `LONGEST_LINE` bytes, or an empty file."""
    empty = True
    # Bytes, not text: text lines would also break at U+2028 and the like, which JSON may hold.
    for number, raw in _lines(path):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number, error) from None
        if not line.strip():
            continue
        empty = False
        value = parse_json(line, str(path), line=number, hint="one JSON object a line")
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: expected an object, found {line.strip()[:60]}")
        yield number, value
    if empty:
        raise DataError(f"{path}: the file is empty")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise DataError(
                        f"{path}:{number}: a line of more than {LONGEST_LINE >> 20} MB", hint="one JSON object a line"
                    )
                yield number, raw
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line on which the row ends, row) for each row of a file with a header, separated by commas, semicolons or tabs,
    whichever the header has. All cells are text.

    DataError with file:line for a quote that is not closed or stands inside a cell, for a row with more or fewer cells
    than the header, and for an empty file. Two stray quotes may match, and join whole rows into one cell: well-formed
    for any parser, see `swallowed_rows`.
    """
    csv.field_size_limit(LONGEST_LINE)
    text = read_text(path)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    empty = True
    try:
        for row in reader:
            empty = False
            if None in row or None in row.values():
                raise DataError(
                    f"{path}:{reader.line_num}: not as many cells as the first line has",
                    hint=f"quote cells that hold {SEPARATORS[delimiter]}s",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num + 1}: broken CSV from this row on: {error}",
            hint="close each quote, and double those inside a cell",
        ) from None
    if empty:
        raise DataError(f"{path}: the file is empty")


def swallowed_rows(row: Mapping[str, str]) -> list[list[str]]:
    """The lines inside a row's cells that have at least as many cells as the row itself, each split into cells: text
    with line breaks, or rows of the file between two stray quotes."""
    lines = [line for cell in row.values() for line in cell.split("\n")[1:]]
    parts = [line.split(mark) for line in lines for mark in SEPARATORS]
    return [cells for cells in parts if len(cells) >= max(2, len(row))]


def read_json_array(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line where it starts, object) for each object of a JSON array. DataError with file:line for anything else."""
    decoder = json.JSONDecoder()
    text = read_text(path)
    position, line, counted = len(text) - len(text.lstrip()), 1, 0
    if text[position : position + 1] != "[":
        raise DataError(f"{path}:1: expected a JSON array")
    position += 1
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        line += text.count("\n", counted, position)
        counted = position
        if text[position : position + 1] == "]":
            return
        try:
            start = position
            value, position = decoder.raw_decode(text, position)
            _whole_text(value, text[start:position])
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise DataError(f"{path}:{where}: broken JSON: {_json_reason(error)}") from None
        if not isinstance(value, dict):
            raise DataError(f"{path}:{line}: expected an object, found {type(value).__name__}")
        yield line, value


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line, UTF-8 as it is, atomically."""
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_json(path: Path, value: Any) -> None:
    """An indented JSON file, atomically. NaN is written as null, since JSON has none."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """A value as JSON takes it: NaN becomes null, keys text, tuples lists, and numpy's numbers Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes it when the block ends well, and vanishes when it does not. RunError
    where it cannot be written. No fsync: what a process wrote outlives it, and of a machine that loses power the files
    of the last seconds may be empty."""
    partial = _partial(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends well, and vanishes when it does not. RunError
    where it cannot be written."""
    partial = _partial(path)
    with writing(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            remove_folder(path)
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there, so that a kill leaves it whole or not at all under its name."""
    old = path.with_name(f"{path.name}.{os.getpid()}.old{PARTIAL}")
    with suppress(FileNotFoundError):
        path.rename(old)
    shutil.rmtree(old, ignore_errors=True)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half-written anywhere under a folder that nobody else writes to."""
    for path in sorted(folder.rglob(f"*{PARTIAL}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Append a line, all of it or, where the disk is full, none. Half a line that a kill or a full disk left at the end
    is removed first."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            end = _end_of_last_line(file)
            if end < file.seek(0, os.SEEK_END):
                file.truncate(end)
            data = line.encode() + b"\n"
            try:
                written = file.write(data)
                while written < len(data):  # the disk takes a part; the next write says why no more
                    written += file.write(data[written:])
            except OSError:
                file.truncate(end)
                raise


def _end_of_last_line(file: io.FileIO) -> int:
    """The position behind the last line break of a file: its end, unless its last line is half a one."""
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position and b"\n" not in tail:
        step = min(position, BLOCK)
        position = file.seek(position - step)
        tail = file.read(step) or b""
    return position + tail.rfind(b"\n") + 1


def _partial(path: Path) -> Path:
    """Of this process alone: two that write one file do not write into each other's."""
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")


def hash_of(value: Any) -> str:
    """A short stable hash of plain data: the same for equal values, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_files(paths: Iterable[Path]) -> str:
    """A short hash of the names and bytes of files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]
