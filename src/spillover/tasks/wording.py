"""Wording as data: a folder of task.yaml and one <language>.yaml each → Task, with every check that needs no tokenizer.

1. Find the folder: a bundled task by its name, or the user's own by its path.
2. Read task.yaml and every language file with pydantic; unknown keys are mistakes.
3. Check them against each other, and report everything that is wrong at once, each with its file.
4. Where it is asked for, a language without wording borrows another's (`with_borrowed_wording`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo

from spillover.core.errors import ConfigError, DataError
from spillover.core.file_names import name_problem
from spillover.core.files import hash_files, read_yaml, resources
from spillover.core.languages import in_order
from spillover.core.languages import language as language_of
from spillover.core.types import Kind, Length, Provenance, Task, Wording
from spillover.tasks.labels import composed_label

TASK_FILE = "task.yaml"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
CHOICE = "choice"
"""The slot of a template where each of an item's own answers is put."""
MOST_CHOICES = 10


def _composed(label: str, info: ValidationInfo) -> str:
    return composed_label(label, info.context)


LabelId = Annotated[str, AfterValidator(_composed)]


class TaskFile(BaseModel):
    """task.yaml. A label set is label words by label id, or a language whose own label words it borrows. Where items
    bring their own answers, `shots` is a list of ids, and `choices` the number of every item's answers. `parallel`:
    whether an id is the same item in every language. `values`: fields that hold one of a few codes, which each
    language says in its own words."""

    model_config = ConfigDict(extra="forbid")
    name: str
    version: int
    description: str = ""
    kind: Kind = "labels"
    length: Length = "sum"
    parallel: bool = True
    choices: int | None = None
    fields: list[str] = []
    labels: list[LabelId] = []
    template: str = ""
    label_sets: dict[str, dict[LabelId, str] | str] = {}
    shots: dict[str, LabelId] | list[str] = {}
    values: dict[str, list[str]] = {}


PARTS = ("words", "labels", "shots", "values")
"""What a language says in its own words."""


class WordingFile(BaseModel):
    """<language>.yaml. `partial`: whether parts may be missing as a whole, to be borrowed from another language where
    that is asked for."""

    model_config = ConfigDict(extra="forbid")
    language: str
    provenance: Provenance
    words: dict[str, str] = {}
    labels: dict[LabelId, str] = {}
    romanised: dict[LabelId, str] = {}
    shots: dict[str, dict[str, str]] = {}
    values: dict[str, dict[str, str]] = {}
    partial: bool = False


def bundled_tasks() -> tuple[str, ...]:
    """Names of the tasks in the package."""
    return tuple(sorted(path.parent.name for path in (resources() / "tasks").glob(f"*/{TASK_FILE}")))


@cache
def load_task(name_or_folder: str) -> Task:
    """A bundled task by name, or the user's own by folder. DataError lists all that is wrong in its files."""
    folder = resources() / "tasks" / name_or_folder
    if name_or_folder not in bundled_tasks():
        folder = Path(name_or_folder)
        if not (folder / TASK_FILE).is_file():
            raise ConfigError(
                f"task {name_or_folder!r} is neither bundled nor a folder with a {TASK_FILE}",
                hint=f"bundled: {', '.join(bundled_tasks())}",
            )
    task_file = _parse(TaskFile, folder / TASK_FILE)
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != TASK_FILE)
    files = {path.stem: _parse(WordingFile, path) for path in paths}
    problems = [*_kind_problems(folder, task_file, files), *_task_problems(folder, task_file, files)]
    for code, file in files.items():
        problems += _wording_problems(folder / f"{code}.yaml", code, task_file, file)
    if problems:
        raise DataError(problems, hint="CONTRIBUTING.md shows a task's folder")
    return _task(task_file, files, hash_files([folder / TASK_FILE, *paths]))


def _task(task_file: TaskFile, files: Mapping[str, WordingFile], fingerprint: str) -> Task:
    label_sets = {
        name: dict(files[words].labels) if isinstance(words, str) else words
        for name, words in task_file.label_sets.items()
    }
    return Task(
        name=task_file.name,
        version=task_file.version,
        description=task_file.description,
        fields=tuple(task_file.fields),
        labels=tuple(task_file.labels) or tuple(map(str, range(_n_choices(task_file) or MOST_CHOICES))),
        template=task_file.template,
        label_sets=label_sets,
        shots=task_file.shots if isinstance(task_file.shots, dict) else dict.fromkeys(task_file.shots, ""),
        wordings={code: _wording(files[code]) for code in in_order(files) if not files[code].partial},
        fingerprint=fingerprint,
        kind=task_file.kind,
        choices=_n_choices(task_file),
        length=task_file.length,
        parallel=task_file.parallel,
        values={name: tuple(codes) for name, codes in task_file.values.items()},
        partial_wordings={code: _wording(file) for code, file in files.items() if file.partial},
    )


def _wording(file: WordingFile) -> Wording:
    return Wording(
        file.language, file.provenance, file.words, file.labels, file.shots, file.romanised, file.values
    )  # fmt: skip


def with_borrowed_wording(task: Task, lender: str, languages: Iterable[str], *, where: str) -> Task:
    """The task where each of `languages` that has no wording has that of `lender` around its own text; parts that its
    partial wording has are its own. where: the option that says so. ConfigError where `lender` has no wording itself.

    A task of pairs has no wording, and comes back as it is."""
    if task.kind == "pairs":
        return task
    if lender not in task.wordings:
        raise ConfigError(
            f"{where}: task {task.name} has no wording in {lender!r} to lend", hint=f"it has {', '.join(task.wordings)}"
        )
    lent = task.wordings[lender]
    borrowing = {
        code: _completed(task.partial_wordings.get(code), code, lent) for code in languages if code not in task.wordings
    }
    wordings = {**task.wordings, **borrowing}
    return replace(task, wordings={code: wordings[code] for code in in_order(wordings)})


def _completed(own: Wording | None, code: str, lent: Wording) -> Wording:
    """`own` with the parts that it lacks from `lent`; all of them where there is no own."""
    borrowed = {part: getattr(lent, part) for part in PARTS if not (own and getattr(own, part)) and getattr(lent, part)}
    base = own or replace(lent, romanised={})
    return replace(base, **borrowed, language=code, borrowed=tuple(borrowed), lender=lent.language if borrowed else "")


def _n_choices(task: TaskFile) -> int | None:
    """How many answers every item has; None where that is its own affair, or the labels'."""
    return 2 if task.kind == "pairs" else task.choices


def _parse(kind: type[Any], path: Path) -> Any:
    try:
        return kind.model_validate(read_yaml(path), context=path)
    except ValidationError as error:
        rows = [f"{path}: {'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
        raise DataError(rows, hint="CONTRIBUTING.md shows a task's folder") from None


# What a kind has no use for, and why.
FOREIGN_KEYS: Mapping[Kind, tuple[tuple[str, ...], str]] = {
    "labels": (("choices",), "its answers are the labels"),
    "choices": (("labels", "label_sets"), "each item brings its own answers"),
    "pairs": (
        ("fields", "labels", "template", "label_sets", "shots", "choices", "values"),
        "two whole texts are compared, without a prompt",
    ),
}


def _kind_problems(folder: Path, task: TaskFile, files: Mapping[str, WordingFile]) -> Iterator[str]:
    """Keys that the task's kind does not have."""
    keys, reason = FOREIGN_KEYS[task.kind]
    for key in keys:
        if getattr(task, key):
            yield f"{folder / TASK_FILE}: {key}: a task of kind {task.kind} has none: {reason}"
    if task.kind == "pairs":
        for code in files:
            yield f"{folder / f'{code}.yaml'}: a task of kind pairs has no wording: {reason}"
    elif task.kind == "choices":
        for code, file in files.items():
            if file.labels or file.romanised:
                yield f"{folder / f'{code}.yaml'}: labels: a task of kind choices has none: {reason}"


def _task_problems(folder: Path, task: TaskFile, files: Mapping[str, WordingFile]) -> Iterator[str]:
    path = folder / TASK_FILE
    if problem := name_problem(task.name):
        yield f"{path}: name: {task.name!r} {problem}"
    if task.kind == "pairs":
        return
    if all(file.partial for file in files.values()):
        yield f"{folder}: no <language>.yaml beside {TASK_FILE}{' that is not partial' if files else ''}"
    if not task.fields:
        yield f"{path}: fields: none, so every item would be the same"
    for name in task.values.keys() - set(task.fields):
        yield f"{path}: values: {name!r} is not one of the fields {', '.join(task.fields)}"
    yield from _template_problems(path, task)
    if task.kind == "choices":
        yield from _choices_problems(path, task)
        return
    if len(task.labels) < 2 or len(set(task.labels)) < len(task.labels):
        yield f"{path}: labels: at least two different ones, found {task.labels}"
    shots = task.shots if isinstance(task.shots, dict) else dict.fromkeys(task.shots, "")
    for shot, label in shots.items():
        if label not in task.labels:
            yield f"{path}: shots: {shot}: label {label!r} is not one of {', '.join(task.labels)}"
    yield from _label_set_problems(path, task, files)


def _choices_problems(path: Path, task: TaskFile) -> Iterator[str]:
    if task.choices is not None and not 2 <= task.choices <= MOST_CHOICES:
        yield f"{path}: choices: {task.choices}; an item has from 2 to {MOST_CHOICES}"
    if isinstance(task.shots, dict) and task.shots:
        yield f"{path}: shots: a list of ids; the right answer stands with each shot in <language>.yaml, as {CHOICE}"
    slots = PLACEHOLDER.findall(task.template)
    if slots.count(CHOICE) != 1 or slots[-1] != CHOICE or CHOICE in task.fields:
        yield f"{path}: template: {{{CHOICE}}}, where an item's answer is put, must stand in it once, as the last slot"


def _template_problems(path: Path, task: TaskFile) -> Iterator[str]:
    slots = PLACEHOLDER.findall(task.template)
    for field in task.fields:
        if slots.count(field) != 1:
            yield f"{path}: template: {{{field}}} must stand in it once, found {slots.count(field)} times"
    if task.template.rstrip() != task.template:
        yield f"{path}: template: trailing whitespace; it must end where the answer starts"


def _label_set_problems(path: Path, task: TaskFile, files: Mapping[str, WordingFile]) -> Iterator[str]:
    for name, words in task.label_sets.items():
        if name == "native":
            yield f"{path}: label_sets: 'native' is each language's own words and cannot be set"
        elif isinstance(words, str):
            if words not in files or files[words].partial:
                yield f"{path}: label_sets: {name}: no {words}.yaml to take the words from"
        else:
            yield from _label_problems(path, f"label_sets: {name}", task, words)


def _wording_problems(path: Path, code: str, task: TaskFile, file: WordingFile) -> Iterator[str]:
    if file.language != code:
        yield f"{path}: language: {file.language!r} in a file named {code}.yaml"
    try:
        language_of(code)
    except ConfigError as error:
        yield f"{path}: {error.message}"
    wanted = (
        set(PLACEHOLDER.findall(task.template)) - set(task.fields) - ({CHOICE} if task.kind == "choices" else set())
    )
    if set(file.words) != wanted and not _left_out(file, "words"):
        yield f"{path}: words: expected {', '.join(sorted(wanted))}, found {', '.join(sorted(file.words))}"
    if task.kind == "labels" and not _left_out(file, "labels"):
        yield from _label_problems(path, "labels", task, file.labels)
    if file.romanised:
        yield from _label_problems(path, "romanised", task, file.romanised)
    yield from _shot_problems(path, task, file)
    yield from _value_problems(path, task, file)
    texts = {"words": file.words} | {f"shots: {shot}": fields for shot, fields in file.shots.items()}
    texts |= {f"values: {name}": words for name, words in file.values.items()}
    for place, values in texts.items():
        for key, text in values.items():
            if not text or text != text.strip():
                yield f"{path}: {place}: {key}: empty, or with leading or trailing whitespace: {text!r}"


def _left_out(file: WordingFile, part: str) -> bool:
    """Whether a file that says that it is partial lacks this part."""
    return file.partial and not getattr(file, part)


def _shot_problems(path: Path, task: TaskFile, file: WordingFile) -> Iterator[str]:
    if set(file.shots) != set(task.shots) and not _left_out(file, "shots"):
        yield f"{path}: shots: expected {', '.join(task.shots)}, found {', '.join(file.shots)}"
    wanted = [*task.fields, CHOICE] if task.kind == "choices" else task.fields
    for shot, fields in file.shots.items():
        if list(fields) != wanted:
            yield f"{path}: shots: {shot}: expected the fields {', '.join(wanted)}, found {', '.join(fields)}"


def _value_problems(path: Path, task: TaskFile, file: WordingFile) -> Iterator[str]:
    if set(file.values) != set(task.values) and not _left_out(file, "values"):
        yield f"{path}: values: expected {', '.join(task.values) or 'none'}, found {', '.join(file.values) or 'none'}"
    for name in file.values.keys() & task.values.keys():
        codes, words = task.values[name], file.values[name]
        if set(words) != set(codes) or len(set(words.values())) < len(words):
            yield f"{path}: values: {name}: expected different words for {', '.join(codes)}, found {words}"
        for shot, fields in file.shots.items():
            if fields.get(name, codes[0]) not in codes:
                yield f"{path}: shots: {shot}: {name} {fields[name]!r} is not one of {', '.join(codes)}"


def _label_problems(path: Path, place: str, task: TaskFile, words: Mapping[str, str]) -> Iterator[str]:
    if set(words) != set(task.labels):
        yield f"{path}: {place}: expected {', '.join(task.labels)}, found {', '.join(words)}"
    if len(set(words.values())) < len(words):
        yield f"{path}: {place}: two labels have the same word: {', '.join(words.values())}"
    for label, word in words.items():
        if not word or word != word.strip() or '"' in word:
            yield f"{path}: {place}: {label}: empty, or with a quote or outer whitespace: {word!r}"
