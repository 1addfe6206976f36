"""Files → examples: one task in several languages, parallel by id.

A data folder holds `<task>/<split>/<language>.jsonl` (or .json, .csv, .tsv): rows with `id`, the task's fields, and
`label` for items that have one. Items that bring their own answers have them in `choices`, a list, or in columns
`choice0`, `choice1`, ...; their label is the index of the right one. `cluster` names what items have in common. Splits
are `test` (what is evaluated) and `train` (bare questions for question translation).
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from spillover.core.errors import DataError
from spillover.core.files import (
    read_csv,
    read_json_array,
    read_jsonl,
    read_text,
    resources,
    swallowed_rows,
    write_jsonl,
)
from spillover.core.languages import code_of, in_order, language
from spillover.core.types import Example, Task
from spillover.tasks.choices import check_choices, check_kind, choices_of, cluster_of, unread_columns
from spillover.tasks.labels import composed_label

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
DEMO = "demo"

log = logging.getLogger(__name__)


def data_folder(data: str) -> Path:
    """The folder that `data` names: the word demo, or a path. DataError when there is none."""
    folder = resources() / DEMO if data == DEMO else Path(data)
    if folder.is_file():
        raise DataError(
            f"data {data!r} is a file: expected a folder with <task>/{{test,train}}/<language>.jsonl or .csv",
            hint="move it there, or `spillover import hub FILE.yaml` for a table with other columns (docs/tasks.md)",
        )
    if not folder.is_dir():
        raise DataError(
            f"data folder {data!r} does not exist", hint="`--data demo`, or `spillover import paper` makes one"
        )
    return folder


def language_files(data: str, task: Task, split: str) -> dict[str, Path]:
    """Files of one task and split by language, in the order of languages.yaml, then by code.

    A file may be named in other spellings of a code (`deu_Latn.jsonl`, `zh-CN.csv`, `ES.JSONL`). One that is no
    language or no format is left out, and the log names it. DataError for two files of one language, or a link that
    leads out of the data folder.
    """
    root = data_folder(data)
    folder = root / task.name / split
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        code = code_of(path.stem, task.wordings)
        if code is None or path.suffix.lower() not in SUFFIXES:
            _warn_once(f"{path}: left out: {_why_left_out(path, code)}")
            continue
        if code in files:
            raise DataError(
                f"{path}: {files[code].name} is {language(code).name} too", hint="keep one file of each language"
            )
        if not path.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path}: a link out of the data folder", hint="put the file itself there")
        files[code] = path
    return {code: files[code] for code in in_order(files)}


def _why_left_out(path: Path, code: str | None) -> str:
    if path.suffix.lower() not in SUFFIXES:
        return f"not one of {', '.join(SUFFIXES)}"
    return f"{path.stem!r} is not a language code"


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


def splits(data: str, task: Task) -> list[str]:
    """Names of the splits that a data folder has of a task: test, train and whatever else."""
    return sorted(path.name for path in (data_folder(data) / task.name).glob("*") if path.is_dir())


def read_examples(path: Path, task: Task, language: str) -> list[Example]:
    """Every item of one file. DataError with file:line for a missing field, an unknown label, a repeated id, answers
    that cannot be scored, or a cluster that some rows lack."""
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for line, example in _examples(path, task, language):
        if example.choices:
            check_choices(f"{path}:{line}", example, task)
        missing = [key for key in task.fields if not example.fields[key].strip()]
        if missing:
            raise DataError(
                f"{path}:{line}: no {' and no '.join(missing)}", hint=f"task {task.name} needs it in every row"
            )
        _check_values(f"{path}:{line}", example, task)
        if example.label is not None and example.label not in task.labels:
            raise DataError(
                f"{path}:{line}: label {example.label!r} is not one of {', '.join(task.labels)}",
                hint=f"`spillover audit --task {task.name}` lists every bad row",
            )
        if example.id in lines:
            raise DataError(f"{path}:{line}: duplicate id {example.id!r}, first on line {lines[example.id]}")
        lines[example.id] = line
        examples.append(example)
    _check_clusters(path, examples, lines)
    return examples


def _check_values(place: str, example: Example, task: Task) -> None:
    for name, codes in task.values.items():
        if example.fields[name] not in codes:
            raise DataError(
                f"{place}: {name} {example.fields[name]!r} is not one of {', '.join(codes)}",
                hint=f"{task.name} says these codes in each language's own words; `task.yaml` lists them",
            )


def _check_clusters(path: Path, examples: Sequence[Example], lines: Mapping[str, int]) -> None:
    without = [example.id for example in examples if example.cluster is None]
    if 0 < len(without) < len(examples):
        raise DataError(
            f"{path}:{lines[without[0]]}: no cluster; {len(examples) - len(without)} of {len(examples)} rows have one",
            hint="give every row its cluster, or none",
        )


def read_rows(path: Path, task: Task, language: str) -> list[Example]:
    """Every item of one file as it stands, for the audit: fields may be empty, labels unknown, ids repeated."""
    return [example for _, example in _examples(path, task, language)]


def _examples(path: Path, task: Task, language: str) -> Iterator[tuple[int, Example]]:
    for line, row in file_rows(path, task.labels):
        example_id = _item_id(path, line, row)
        absent = [key for key in task.fields if not isinstance(row.get(key), str)]
        if absent:
            raise DataError(
                f"{path}:{line}: no {' and no '.join(absent)}", hint=f"task {task.name} needs it in every row"
            )
        label = row.get("label")
        fields = {key: str(row[key]) for key in task.fields}
        gold = None if label in (None, "") else sys.intern(composed_label(str(label), path))
        place = f"{path}:{line}"
        choices = () if "choices" in task.fields else choices_of(place, row)
        check_kind(place, task, choices, gold)
        if task.kind == "pairs" and (unread := unread_columns(row)):
            _warn_once(
                f"{path}: a pair is two texts alone: not read: {', '.join(unread)}. Where the texts answer a question: "
                "`kind: choices` in task.yaml, with these as fields"
            )
        cluster = None if "cluster" in task.fields else cluster_of(place, row)
        yield line, Example(example_id, language, fields, gold, choices, cluster)


def _item_id(path: Path, line: int, row: Mapping[str, object]) -> str:
    """A row's id as text; whole numbers are ids too, also 0."""
    value = row.get("id")
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(
            f"{path}:{line}: no id" if "id" in row else f"{path}:{line}: no id among the columns {', '.join(row)}",
            hint="the same id is the same item in every language; `spillover import hub` numbers a table's rows",
        )
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{path}:{line}: id {value!r} is neither text nor a whole number", hint="write it as text")
    return str(value)


def file_rows(
    path: Path, labels: Collection[str], *, label_column: str = "label", suffix: str = ""
) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(line, row) of a file in one of `SUFFIXES`, as its values stand there: in CSV all are text, and none is missing.
    suffix: in place of the file's own. DataError with file:line for what cannot be read, as in `csv_items`."""
    suffix = suffix or path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from csv_items(path, labels, label_column=label_column)
    elif suffix == ".json" and read_text(path).lstrip().startswith("["):
        yield from read_json_array(path)
    else:
        yield from read_jsonl(path)


def csv_items(
    path: Path, labels: Collection[str], *, label_column: str = "label"
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file as `read_csv` has them. One warning for cells that may hold rows of the file.

    DataError where a line inside a cell has one of `labels` where its row would have it: stray quotes in two rows join
    all that is between them."""
    n_rows, first_line = 0, 2
    suspicious: list[str] = []
    for line, row in read_csv(path):
        if holds_rows(row, labels, label_column=label_column):
            raise DataError(
                f"{path}:{first_line}: lines {first_line} to {line} are one row: a cell holds whole rows",
                hint="a quote in one of them is not closed: double the quotes that belong to the text",
            )
        if swallowed_rows(row):
            suspicious.append(f"{first_line} to {line}")
        n_rows, first_line = n_rows + 1, line + 1
        yield line, row
    if suspicious:
        _warn_once(
            f"{path}: read {n_rows} items from {first_line - 1} lines; cells with line breaks that may be rows: lines "
            f"{', '.join(suspicious[:5])}"
        )


def holds_rows(row: Mapping[str, str], labels: Collection[str], *, label_column: str = "label") -> bool:
    """Whether a cell holds whole rows of its file: a line inside it has one of `labels` where its row would have it."""
    if label_column not in row:
        return False
    from_the_end = list(row).index(label_column) - len(row)
    return any(cells[from_the_end].strip(' "') in labels for cells in swallowed_rows(row))


def load_parallel(
    data: str,
    task: Task,
    split: str,
    languages: Sequence[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    among: Collection[str] | None = None,
    wanted: Callable[[Example], bool] | None = None,
    missing_items: Literal["refuse", "intersection"] = "refuse",
    disagreeing_labels: Literal["refuse", "keep"] = "refuse",
) -> dict[str, list[Example]]:
    """The same items in every language, in the same order; each language's own where the task is not parallel.

    limit: that many, drawn once for all languages with `seed`, balanced over the labels as far as they go. among: only
    items with these ids. wanted: whether an item is taken, which must be the same for it in every language.
    DataError names languages without a file, items that a language lacks (unless "intersection"), and items whose label
    differs between languages (unless "keep").
    """
    files = language_files(data, task, split)
    absent = [code for code in languages if code not in files]
    if absent:
        place = data_folder(data) / task.name / split
        raise DataError(f"{place}: no file for {', '.join(absent)}", hint=f"it has {', '.join(files) or 'no files'}")
    examples = {code: read_examples(files[code], task, code) for code in languages}
    if not task.parallel:
        if wanted is not None:
            examples = {code: [row for row in rows if wanted(row)] for code, rows in examples.items()}
        return {code: _drawn(files[code], rows, split, limit, seed, among) for code, rows in examples.items()}
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
    _check_same(by_id, ids, files, "clusters", lambda example: example.cluster)
    if wanted is not None:
        ids = [example_id for example_id in ids if wanted(next(iter(by_id.values()))[example_id])]
    if split == "test":
        _check_labels(by_id, ids, files, disagreeing_labels)
    _check_same(by_id, ids, files, "numbers of choices", lambda example: len(example.choices))
    if limit is not None and limit < len(ids):
        ids = draw_ids(ids, next(iter(by_id.values())), limit, np.random.default_rng(seed))
    return {code: [rows[example_id] for example_id in ids] for code, rows in by_id.items()}


def _drawn(
    path: Path, rows: list[Example], split: str, limit: int | None, seed: int, among: Collection[str] | None
) -> list[Example]:
    """Items of one language of a task whose languages have items of their own."""
    by_id = {row.id: row for row in rows if among is None or row.id in among}
    if split == "test":
        _check_labels({path.stem: by_id}, list(by_id), {path.stem: path}, "keep")
    ids = list(by_id) if limit is None else draw_ids(list(by_id), by_id, limit, np.random.default_rng(seed))
    return [by_id[example_id] for example_id in ids]


def _shared_ids(by_id: Mapping[str, Mapping[str, Example]], files: Mapping[str, Path], missing_items: str) -> list[str]:
    first = next(iter(by_id.values()))
    everywhere = dict.fromkeys(example_id for rows in by_id.values() for example_id in rows)
    gaps = {code: [example_id for example_id in everywhere if example_id not in rows] for code, rows in by_id.items()}
    gaps = {code: ids for code, ids in gaps.items() if ids}
    if gaps and missing_items == "refuse":
        lines = [f"{files[code]}: lacks {len(ids)} items: {', '.join(ids[:5])}" for code, ids in gaps.items()]
        raise DataError(lines, hint="--missing-items intersection uses the items that all languages have")
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
            problems,
            hint="`spillover audit` says which; evaluate.disagreeing_labels: keep uses them as they are",
        )


def _check_same(
    by_id: Mapping[str, Mapping[str, Example]],
    ids: Sequence[str],
    files: Mapping[str, Path],
    what: str,
    value: Callable[[Example], object],
) -> None:
    """DataError names the items of which a language says something else than the first one."""
    first_code, first = next(iter(by_id.items()))
    problems = []
    for code, rows in by_id.items():
        if differing := [example_id for example_id in ids if value(rows[example_id]) != value(first[example_id])]:
            listed = ", ".join(f"{i} ({value(rows[i])}, not {value(first[i])})" for i in differing[:5])
            problems.append(f"{files[code]}: {len(differing)} {what} differ from {files[first_code].name}'s: {listed}")
    if problems:
        raise DataError(problems, hint="the same id is the same item in every language: `spillover audit` lists them")


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
            {"id": example.id}
            | dict(example.fields)
            | ({"choices": list(example.choices)} if example.choices else {})
            | ({} if example.label is None else {"label": example.label})
            | ({} if example.cluster is None else {"cluster": example.cluster})
            for example in examples
        ),
    )
