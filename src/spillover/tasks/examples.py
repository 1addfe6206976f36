"""Files → examples: one task in several languages, parallel by id.

A data folder holds `<task>/<split>/<language>.jsonl` (or .csv), rows with `id`, the task's fields, and `label` for
items that have one. Splits are `test` (what is evaluated) and `train` (bare questions for question translation).
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from spillover.core.errors import DataError
from spillover.core.files import read_jsonl, read_text, resources, write_jsonl
from spillover.core.languages import in_order
from spillover.core.types import Example, Task

SUFFIXES = (".jsonl", ".csv")
DEMO = "demo"


def data_folder(data: str) -> Path:
    """The folder that `data` names: the word demo, or a path. DataError when there is none."""
    folder = resources() / DEMO if data == DEMO else Path(data)
    if not folder.is_dir():
        raise DataError(
            f"data folder {data!r} does not exist", hint="`--data demo`, or `spillover import paper` makes one"
        )
    return folder


def language_files(data: str, task: Task, split: str) -> dict[str, Path]:
    """Files of one task and split by language, in the order of languages.yaml, then by code; others are left alone.

    DataError for a link that leads out of the data folder.
    """
    root = data_folder(data)
    folder = root / task.name / split
    files = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES}
    for path in files.values():
        if not path.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path}: a link out of the data folder", hint="put the file itself there")
    return {code: files[code] for code in in_order(files)}


def splits(data: str, task: Task) -> list[str]:
    """Names of the splits that a data folder has of a task: test, train and whatever else."""
    return sorted(path.name for path in (data_folder(data) / task.name).glob("*") if path.is_dir())


def read_examples(path: Path, task: Task, language: str) -> list[Example]:
    """Every item of one file. DataError with file:line for a missing field, an unknown label or a repeated id."""
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for line, example in _examples(path, task, language):
        missing = [key for key in task.fields if not example.fields[key].strip()]
        if missing:
            raise DataError(
                f"{path}:{line}: no {' and no '.join(missing)}", hint=f"task {task.name} needs it in every row"
            )
        if example.label is not None and example.label not in task.labels:
            raise DataError(
                f"{path}:{line}: label {example.label!r} is not one of {', '.join(task.labels)}",
                hint=f"`spillover audit --task {task.name}` lists every bad row",
            )
        if example.id in lines:
            raise DataError(f"{path}:{line}: duplicate id {example.id!r}, first on line {lines[example.id]}")
        lines[example.id] = line
        examples.append(example)
    return examples


def read_rows(path: Path, task: Task, language: str) -> list[Example]:
    """Every item of one file as it stands, for the audit: fields may be empty, labels unknown, ids repeated."""
    return [example for _, example in _examples(path, task, language)]


def _examples(path: Path, task: Task, language: str) -> Iterator[tuple[int, Example]]:
    for line, row in _rows(path):
        if not str(row.get("id") or "").strip():
            raise DataError(f"{path}:{line}: no id", hint="the same id is the same item in every language")
        absent = [key for key in task.fields if not isinstance(row.get(key), str)]
        if absent:
            raise DataError(
                f"{path}:{line}: no {' and no '.join(absent)}", hint=f"task {task.name} needs it in every row"
            )
        label = row.get("label")
        fields = {key: str(row[key]) for key in task.fields}
        yield line, Example(str(row["id"]), language, fields, None if label in (None, "") else sys.intern(str(label)))


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
        return
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    empty = True
    for row in reader:
        empty = False
        if None in row or None in row.values():
            raise DataError(
                f"{path}:{reader.line_num}: not as many cells as the first line has", hint="quote the commas"
            )
        yield reader.line_num, row
    if empty:
        raise DataError(f"{path}: the file is empty")


def load_parallel(
    data: str,
    task: Task,
    split: str,
    languages: Sequence[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    among: Collection[str] | None = None,
    missing_items: Literal["refuse", "intersection"] = "refuse",
    disagreeing_labels: Literal["refuse", "keep"] = "refuse",
) -> dict[str, list[Example]]:
    """The same items in every language, in the same order.

    limit: that many, drawn once for all languages with `seed`, balanced over the labels as far as they go. among: only
    items with these ids.
    DataError names languages without a file, items that a language lacks (unless "intersection"), and items whose label
    differs between languages (unless "keep").
    """
    files = language_files(data, task, split)
    absent = [code for code in languages if code not in files]
    if absent:
        place = data_folder(data) / task.name / split
        raise DataError(f"{place}: no file for {', '.join(absent)}", hint=f"it has {', '.join(files) or 'no files'}")
    examples = {code: read_examples(files[code], task, code) for code in languages}
    by_id = {code: {example.id: example for example in rows} for code, rows in examples.items()}
    ids = _shared_ids(by_id, files, missing_items)
    if among is not None:
        kept = set(among)
        ids = [example_id for example_id in ids if example_id in kept]
        if len(ids) < len(kept):
            raise DataError(
                f"{next(iter(files.values())).parent}: lacks {len(kept) - len(ids)} of the {len(kept)} items asked for",
                hint="give the data that they came from",
            )
    if split == "test":
        _check_labels(by_id, ids, files, disagreeing_labels)
    if limit is not None and limit < len(ids):
        ids = draw_ids(ids, next(iter(by_id.values())), limit, np.random.default_rng(seed))
    return {code: [rows[example_id] for example_id in ids] for code, rows in by_id.items()}


def _shared_ids(by_id: Mapping[str, Mapping[str, Example]], files: Mapping[str, Path], missing_items: str) -> list[str]:
    first = next(iter(by_id.values()))
    everywhere = dict.fromkeys(example_id for rows in by_id.values() for example_id in rows)
    gaps = {code: [example_id for example_id in everywhere if example_id not in rows] for code, rows in by_id.items()}
    gaps = {code: ids for code, ids in gaps.items() if ids}
    if gaps and missing_items == "refuse":
        lines = [f"{files[code]}: lacks {len(ids)} items: {', '.join(ids[:5])}" for code, ids in gaps.items()]
        raise DataError("\n".join(lines), hint="--missing-items intersection uses the items that all languages have")
    lacking = {example_id for ids in gaps.values() for example_id in ids}
    kept = [example_id for example_id in first if example_id not in lacking]
    if not kept:
        raise DataError(f"{next(iter(files.values())).parent}: no item stands in all of {', '.join(by_id)}")
    return kept


def _check_labels(
    by_id: Mapping[str, Mapping[str, Example]], ids: Sequence[str], files: Mapping[str, Path], rule: str
) -> None:
    for code, rows in by_id.items():
        bare = [example_id for example_id in ids if rows[example_id].label is None]
        if bare:
            raise DataError(f"{files[code]}: {len(bare)} items have no label: {', '.join(bare[:5])}")
    if rule == "keep":
        return
    problems = []
    for code, rows in by_id.items():
        # The label that most languages give; ties go to the one seen first.
        wrong = [
            example_id
            for example_id in ids
            if rows[example_id].label
            != Counter(other[example_id].label for other in by_id.values()).most_common(1)[0][0]
        ]
        if wrong:
            problems.append(
                f"{files[code]}: {len(wrong)} labels differ from the other languages': {', '.join(wrong[:5])}"
            )
    if problems:
        raise DataError(
            "\n".join(problems),
            hint="`spillover audit` says which; evaluate.disagreeing_labels: keep uses them as they are",
        )


def draw_ids(ids: Sequence[str], rows: Mapping[str, Example], limit: int, rng: np.random.Generator) -> list[str]:
    """`limit` ids in their old order, taken in turn from each label's shuffled ids; all when there are no more."""
    if limit >= len(ids):
        return list(ids)
    by_label: dict[str | None, list[str]] = {}
    for example_id in ids:
        by_label.setdefault(rows[example_id].label, []).append(example_id)
    shuffled = [[group[i] for i in rng.permutation(len(group))] for group in by_label.values()]
    turns = [group[turn] for turn in range(max(map(len, shuffled))) for group in shuffled if turn < len(group)]
    chosen = set(turns[:limit])
    return [example_id for example_id in ids if example_id in chosen]


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write items as our JSON lines."""
    write_jsonl(
        path,
        (
            {"id": example.id} | dict(example.fields) | ({} if example.label is None else {"label": example.label})
            for example in examples
        ),
    )
