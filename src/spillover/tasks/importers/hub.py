"""Hugging Face data sets → our format, by rows of resources/datasets.yaml or by a row of the user's own.

1. Read the row: where the data set is, and what its columns and label values mean.
2. Load each language and split with `datasets`; nothing that comes with a data set is executed.
3. Map labels to language-free ids and items to ids that are the same in every language, and count what is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.files import atomic_folder, read_yaml, resources, write_json
from spillover.core.languages import language as language_of
from spillover.core.languages import select_languages
from spillover.core.types import Example
from spillover.tasks.examples import write_examples
from spillover.tasks.wording import bundled_tasks

SOURCE = "SOURCE.json"
DROP = "drop"
LOCAL = ("parquet", "json", "csv")


class Source(BaseModel):
    """One data set. `files`: local files by language instead of `hub`, for data that is at hand already."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    hub: str = ""
    revision: str = "main"
    task: str
    configs: dict[str, str] = {}
    splits: dict[str, str]
    fields: dict[str, str | list[str]]
    label: str
    labels: dict[str | int, str]
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
    if bool(source.hub) == bool(source.files):
        raise ConfigError(f"{path}: give hub and configs, or files", hint="CONTRIBUTING.md shows a row")
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
                if limit is not None and source.id and among is None:
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
    labels = {str(value): label for value, label in source.labels.items()}
    place = f"{source.hub or source.name} {language} {split}"
    examples, dropped = [], 0
    rows = load_rows(source, language, split)
    for number, row in enumerate(rows if among is not None else _first(rows, limit), start=1):
        example_id = _item_id(source, row, split, number, place)
        if among is not None and example_id not in among:
            continue
        value = str(_column(row, source.label, place, number))
        if value not in labels:
            raise DataError(
                f"{place}: row {number}: {source.label} {value!r} is not one of {', '.join(labels)}",
                hint="give it in labels, or `drop` it",
            )
        if labels[value] == DROP:
            dropped += 1
            continue
        fields = {name: _text(row, columns, place, number) for name, columns in source.fields.items()}
        examples.append(Example(example_id, language, fields, labels[value]))
    repeated = [example_id for example_id, n in Counter(row.id for row in examples).items() if n > 1]
    if repeated:
        raise DataError(
            f"{place}: {len(repeated)} ids stand more than once: {', '.join(repeated[:3])}", hint="add a column to id"
        )
    return examples, dropped


def load_rows(source: Source, language: str, split: str) -> Iterable[Mapping[str, Any]]:
    """The rows of one language and split: from local files where the row names them, else from the hub."""
    import datasets

    try:
        if source.files:
            path = source.files[language][split]
            kind = path.rpartition(".")[2].replace("jsonl", "json")
            if kind not in LOCAL:
                raise ConfigError(f"{path}: not one of {', '.join(LOCAL)}", hint="convert it")
            return datasets.load_dataset(kind, data_files=path, split="train")  # type: ignore[no-any-return]
        return datasets.load_dataset(  # type: ignore[no-any-return]
            source.hub, source.configs[language], split=source.splits[split], revision=source.revision
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{source.hub or source.files[language][split]}: {str(error).splitlines()[0]}",
            hint="paths count from the folder you are in" if source.files else "a network, or a row with local files",
        ) from None


def _first(rows: Iterable[Mapping[str, Any]], limit: int | None) -> Iterator[Mapping[str, Any]]:
    for number, row in enumerate(rows):
        if limit is not None and number >= limit:
            return
        yield row


def _column(row: Mapping[str, Any], column: str, place: str, number: int) -> Any:
    if row.get(column) is None:
        raise DataError(f"{place}: row {number}: no {column!r}", hint=f"it has {', '.join(row)}")
    return row[column]


def _text(row: Mapping[str, Any], columns: str | list[str], place: str, number: int) -> str:
    names = [columns] if isinstance(columns, str) else columns
    return " ".join(str(_column(row, name, place, number)).strip() for name in names).strip()


def _item_id(source: Source, row: Mapping[str, Any], split: str, number: int, place: str) -> str:
    """Their id where they have one, else the line: both are the same item in every language of these data sets."""
    if not source.id:
        return f"{source.name}-{split}-{number:06}"
    return f"{source.name}-{split}-" + "-".join(str(_column(row, column, place, number)) for column in source.id)


def needed(source: Source) -> str:
    """What else is needed to evaluate this data set: nothing, or a task's wording."""
    if source.task in bundled_tasks():
        return f"evaluate it with --task {source.task}"
    labels = ", ".join(dict.fromkeys(label for label in source.labels.values() if label != DROP))
    return (
        f"no wording of task {source.task!r} is bundled: write a folder {source.task}/ with task.yaml (fields "
        f"{', '.join(source.fields)}; labels {labels}) and one <language>.yaml each, as CONTRIBUTING.md shows, "
        "and give it with --task"
    )
