"""Hugging Face data sets → our format, by rows of resources/datasets.yaml or by a row of the user's own.

1. Read the row: where the data set is, and what its columns and label values mean.
2. Load each language and split with `datasets`; nothing that comes with a data set is executed. CSV, JSON and parquet
   files are read here, so that values stay what the file has: the text "NA" is no missing value, "01" is not 1, and 1
   is not 1.0 where another row has none.
3. Map labels to language-free ids and items to ids that are the same in every language, and count what is dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from spillover.core.errors import ConfigError, DataError, RunError, first_line
from spillover.core.file_names import check_file_name
from spillover.core.files import SEPARATORS, atomic_folder, read_yaml, resources, write_json
from spillover.core.languages import language as language_of
from spillover.core.languages import select_languages
from spillover.core.types import Example
from spillover.tasks.choices import check_choices
from spillover.tasks.examples import SUFFIXES, file_rows, write_examples
from spillover.tasks.labels import composed_label
from spillover.tasks.wording import bundled_tasks

SOURCE = "SOURCE.json"
DROP = "drop"
FIRST_CHOICE = "0"
PARQUET = ".parquet"
# Beyond this, a floating-point number may stand for another whole number than was written.
EXACT_WHOLE_NUMBERS = 2.0**53


class Source(BaseModel):
    """One data set. `files`: local files by language instead of `hub`, for data that is at hand already.

    choices: where items bring their own answers, the columns that hold them in order, or one column that holds a list;
    `label` is then the index of the right one, by `labels` where theirs are counted otherwise, and without `label` the
    first is right. cluster: columns that name what items have in common. parallel: whether a line or an id is the same
    item in every language."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    hub: str = ""
    revision: str = "main"
    task: str
    configs: dict[str, str] = {}
    splits: dict[str, str]
    fields: dict[str, str | list[str]] = {}
    label: str = ""
    labels: dict[bool | int | str, str | int] = {}
    choices: list[str] | str = []
    cluster: list[str] = []
    parallel: bool = True
    id: list[str] = []
    files: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class Imported:
    """What came of one file: rows written, and rows left out since their label says so."""

    split: str
    language: str
    rows: int
    dropped: int


def datasets_known() -> tuple[str, ...]:
    """Names of the data sets with a row in the package."""
    return tuple(read_yaml(resources() / "datasets.yaml")["datasets"])


def read_source(name_or_file: str) -> Source:
    """The row of a data set by its name, or the user's own from a YAML file. ConfigError lists what is wrong in it."""
    rows = read_yaml(resources() / "datasets.yaml")["datasets"]
    if name_or_file in rows:
        return Source(name=name_or_file, **rows[name_or_file])
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise ConfigError(
            f"data set {name_or_file!r} is neither known nor a YAML file", hint=f"known: {', '.join(rows)}"
        )
    try:
        source = Source(**{"name": path.stem} | read_yaml(path))
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
        raise ConfigError(problems, hint="CONTRIBUTING.md shows a row") from None
    for code in [*source.configs, *source.files]:
        language_of(code)
    for name in (source.name, source.task, *source.splits):
        check_file_name(name, f"{path}: name, task and splits")
    if bool(source.hub) == bool(source.files):
        raise ConfigError(f"{path}: give hub and configs, or files", hint="CONTRIBUTING.md shows a row")
    if not source.choices and not (source.fields and source.label and source.labels):
        raise ConfigError(
            f"{path}: give fields, label and labels, or choices for items that bring their own answers",
            hint="CONTRIBUTING.md and docs/tasks.md show rows",
        )
    return source


def import_dataset(
    source: Source, out: Path, *, languages: str | Sequence[str] = "all", limit: int | None = None
) -> list[Imported]:
    """Write a data set in our format to the folder `out`. Nothing is written when anything is wrong.

    limit: the first so many rows of the first language, and in the others the items with the same ids; of each file
    where the data set has no ids. MissingExtra without `datasets`; DataError names the column, the value
    and the row that do not fit.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / SOURCE).is_file())):
        raise RunError(f"{out}: exists and was not made by this import", hint="choose another --out")
    codes = select_languages(languages, source.configs or source.files, where=f"languages of {source.name}")
    imported = []
    with atomic_folder(out) as partial:
        for split in source.splits:
            among: set[str] | None = None
            for code in codes:
                if source.files and split not in source.files[code]:
                    continue
                examples, dropped = read_split(source, code, split, limit, among)
                if limit is not None and source.id and source.parallel and among is None:
                    among = {example.id for example in examples}
                write_examples(partial / source.task / split / f"{code}.jsonl", examples)
                imported.append(Imported(split, code, len(examples), dropped))
        write_json(partial / SOURCE, source.model_dump())
    return imported


def read_split(
    source: Source, language: str, split: str, limit: int | None = None, among: Collection[str] | None = None
) -> tuple[list[Example], int]:
    """(items of one language and split, how many were dropped by label). Ids are the same in every language, the order
    of rows is not in all data sets: `among` takes the rows with these ids, in place of the first `limit`."""
    labels = _labels_by_value(source)
    examples, dropped = [], 0
    rows = load_rows(source, language, split)
    for number, (place, row) in enumerate(rows if among is not None else islice(rows, limit), start=1):
        example_id = _item_id(source, row, f"{split}-{language}" if not source.parallel else split, number, place)
        if among is not None and example_id not in among:
            continue
        label = _label(source, labels, row, place)
        if label == DROP:
            dropped += 1
            continue
        fields = {name: _text(row, columns, place) for name, columns in source.fields.items()}
        cluster = "-".join(_id_part(row, column, place) for column in source.cluster) or None
        example = Example(example_id, language, fields, label, _choices(source, row, place), cluster)
        if source.choices:
            check_choices(place, example)
        examples.append(example)
    repeated = [example_id for example_id, n in Counter(row.id for row in examples).items() if n > 1]
    if repeated:
        raise DataError(
            f"{_place(source, language, split)}: {len(repeated)} ids stand more than once: {', '.join(repeated[:3])}",
            hint="add a column to id",
        )
    return examples, dropped


def load_rows(source: Source, language: str, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, row) of one language and split: from local files where the row names them, else from the hub. The place
    is file:line, or for tables without lines the row's number."""
    if source.files:
        yield from _local_rows(Path(source.files[language][split]), source)
        return
    import datasets

    try:
        files = _hub_csv_files(source, language, split)
        rows = [] if files else _hub_rows(source, language, split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{source.hub}: {first_line(error)}", hint="a network, or a row with local files") from None
    for file in files:
        yield from _local_rows(file, source, suffix=".csv")
    for number, row in enumerate(rows, start=1):
        yield f"{_place(source, language, split)}: row {number}", row


def _local_rows(path: Path, source: Source, suffix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, row) of a file. suffix: in place of its own, for a file of the hub's cache, whose name has none."""
    suffix = suffix or path.suffix.lower()
    if suffix not in (PARQUET, *SUFFIXES):
        raise ConfigError(f"{path}: not one of {', '.join((PARQUET, *SUFFIXES))}", hint="convert it")
    if suffix != PARQUET:
        rows = file_rows(path, set(map(str, source.labels)), label_column=source.label, suffix=suffix)
        yield from ((f"{path}:{line}", row) for line, row in rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(path).iter_batches()
        for number, row in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), start=1):
            yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: not a readable table ({first_line(error)[:160]})",
            hint="paths count from the folder you are in",
        ) from None


def _hub_rows(source: Source, language: str, split: str) -> Iterable[Mapping[str, Any]]:
    import datasets

    return datasets.load_dataset(  # type: ignore[no-any-return]
        source.hub, source.configs[language], split=source.splits[split], revision=source.revision
    )


def _hub_csv_files(source: Source, language: str, split: str) -> list[Path]:
    """The files of a split that is CSV or TSV on the hub, on this machine; none where it is not, or where its card asks
    for more than a separator: then `datasets` reads them with pandas, which guesses what is a number and what is
    missing, and joins rows between stray quotes."""
    import datasets
    from datasets.packaged_modules.csv.csv import CsvConfig

    builder = datasets.load_dataset_builder(source.hub, source.configs[language], revision=source.revision)
    config = builder.config
    coded = any(isinstance(feature, datasets.ClassLabel) for feature in (builder.info.features or {}).values())
    if coded or not isinstance(config, CsvConfig):
        return []
    usual, asked = CsvConfig().pd_read_csv_kwargs, config.pd_read_csv_kwargs
    files = (config.data_files or {}).get(source.splits[split], [])
    if config.sep not in SEPARATORS or any(asked[key] != usual[key] for key in asked if key != "sep"):
        return []
    return [Path(str(file)) for file in datasets.DownloadManager().download_and_extract(list(map(str, files)))]


def _place(source: Source, language: str, split: str) -> str:
    return source.files[language][split] if source.files else f"{source.hub} {language} {split}"


def _labels_by_value(source: Source) -> dict[str, str]:
    """Our labels by the text of theirs; `true` also as CSV files of other tools write it."""
    by_value: dict[str, str] = {}
    for value, label in source.labels.items():
        texts = (str(value), str(value).lower(), str(value).upper()) if isinstance(value, bool) else (str(value),)
        by_value |= dict.fromkeys((composed_label(text, source.name) for text in texts), str(label))
    return by_value


def _choices(source: Source, row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The item's own answers; empty where the data set has labels."""
    if isinstance(source.choices, list):
        return tuple(_text(row, column, place) for column in source.choices)
    listed = row.get(source.choices)
    if listed is None:
        raise DataError(f"{place}: no {source.choices!r}", hint=f"it has {', '.join(map(str, row))}")
    if not isinstance(listed, list | tuple) or not all(isinstance(choice, str) for choice in listed):
        raise DataError(
            f"{place}: {source.choices!r} is not a list of texts", hint="choices: [a, b] names a column for each"
        )
    return tuple(choice.strip() for choice in listed)


def _label(source: Source, labels: Mapping[str, str], row: Mapping[str, Any], place: str) -> str:
    if not source.label:
        return FIRST_CHOICE
    value = _column(row, source.label, place)
    texts = [composed_label(str(value), place.rpartition(":")[0])]
    if isinstance(value, float) and value.is_integer():
        texts.append(str(int(value)))
    label = next((labels[text] for text in texts if text in labels), None) if labels else texts[-1]
    if label is None:
        raise DataError(
            f"{place}: {source.label} {texts[0]!r} is not one of {', '.join(map(str, source.labels))}",
            hint="give it in labels, or `drop` it",
        )
    return label


def _column(row: Mapping[str, Any], column: str, place: str) -> Any:
    """The value of a column. DataError where there is none: null, or NaN, which is null in a table of numbers."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise DataError(f"{place}: no {column!r}", hint=f"it has {', '.join(map(str, row))}")
    if not isinstance(value, str | int | float | Decimal | date | time):
        raise DataError(f"{place}: {column!r} is {type(value).__name__}, not text or a number", hint="another column")
    return value


def _text(row: Mapping[str, Any], columns: str | list[str], place: str) -> str:
    names = [columns] if isinstance(columns, str) else columns
    return " ".join(str(_column(row, name, place)).strip() for name in names).strip()


def _item_id(source: Source, row: Mapping[str, Any], split: str, number: int, place: str) -> str:
    """Their id where they have one, else the line: both are the same item in every language of these data sets."""
    if not source.id:
        return f"{source.name}-{split}-{number:06}"
    return f"{source.name}-{split}-" + "-".join(_id_part(row, column, place) for column in source.id)


def _id_part(row: Mapping[str, Any], column: str, place: str) -> str:
    """The value of an id's column as text. A whole number is written without a point: tables have 7.0 for 7 where
    another row has none."""
    value = _column(row, column, place)
    if isinstance(value, float) and value.is_integer():
        if abs(value) > EXACT_WHOLE_NUMBERS:
            raise DataError(f"{place}: {column} {value!r} is rounded", hint="store the ids as whole numbers or as text")
        return str(int(value))
    if not str(value).strip():
        raise DataError(f"{place}: {column!r} is empty", hint="each row needs its id")
    return str(value)


def needed(source: Source) -> str:
    """What else is needed to evaluate this data set: nothing, or a task's wording."""
    if source.task in bundled_tasks():
        return f"evaluate it with --task {source.task}"
    if source.choices and not source.fields:
        return f"write {source.task}/task.yaml (kind: pairs), as docs/tasks.md shows, and give the folder with --task"
    labels = ", ".join(dict.fromkeys(str(label) for label in source.labels.values() if label != DROP))
    answers = "kind: choices" if source.choices else f"labels {labels}"
    return (
        f"no wording of task {source.task!r} is bundled: write a folder {source.task}/ with task.yaml (fields "
        f"{', '.join(source.fields)}; {answers}) and one <language>.yaml each, as CONTRIBUTING.md shows, "
        "and give it with --task"
    )
