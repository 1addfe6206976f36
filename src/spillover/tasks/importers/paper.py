"""A checkout of the paper's repository → our format, each repair named and counted.

1. Read every file that resources/paper.yaml expects; the first thing missing or broken stops all, with file and line.
2. Map label words to language-free ids and line i to the same id in every language.
3. Repair the known faults, or leave them (`as_shipped`), and write the folder with a CHANGES.md that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, RunError
from spillover.core.files import atomic_folder, read_json_array, read_yaml, resources
from spillover.core.languages import language as language_of
from spillover.core.languages import reference_language
from spillover.core.types import Example
from spillover.tasks.examples import write_examples
from spillover.tasks.labels import composed_label

CHANGES = "CHANGES.md"


@dataclass(frozen=True)
class Change:
    """One repair: where, what, and how many rows it touched. `applied` is False where it was left as shipped."""

    file: str
    what: str
    rows: int
    applied: bool


def import_paper(checkout: Path, out: Path, *, as_shipped: bool = False) -> list[Change]:
    """Write the paper's data in our format to `out`; return the changes. Nothing is written when anything is wrong."""
    folder = _data_folder(checkout)
    changes: list[Change] = []
    files: dict[str, list[Example]] = {}
    for task, source in _sources().items():
        tests = {code: _read_test(folder, task, source, code, changes, as_shipped) for code in source["labels"]}
        tests = _repair_exchanged(tests, source, changes, as_shipped)
        files |= {f"{task}/test/{code}.jsonl": rows for code, rows in tests.items()}
        files |= {
            f"{task}/train/{code}.jsonl": rows
            for code, rows in _read_training(folder, task, source, changes, as_shipped).items()
        }
    _write(out, files, changes)
    return changes


def paper_tasks() -> list[str]:
    """Names of the bundled tasks that the paper's checkout has data of."""
    return list(_sources())


def _sources() -> dict[str, dict[str, Any]]:
    return dict(read_yaml(resources() / "paper.yaml")["tasks"])


def _data_folder(checkout: Path) -> Path:
    """The folder with the data: the checkout itself or its `data`. DataError lists what a checkout would have."""
    wanted = {str(Path(source["test"]).parent) for source in _sources().values()}
    for folder in (checkout, checkout / "data"):
        if all((folder / name).is_dir() for name in wanted):
            return folder
    raise DataError(
        f"{checkout}: not a checkout of the paper's repository (no folders {', '.join(sorted(wanted))})",
        hint="git clone https://github.com/Shimao-Zhang/LLM-Multilingual-Learner",
    )


def _cell(path: Path, line: int, row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{path}:{line}: no {key!r} in this row", hint="restore the file from the paper's repository")
    return value


def _label(path: Path, line: int, row: Mapping[str, Any], by_word: Mapping[str, str]) -> str:
    word = composed_label(_cell(path, line, row, "answer").strip(), path)
    if word not in by_word:
        raise DataError(f"{path}:{line}: answer {word!r} is not one of {', '.join(by_word)}")
    return by_word[word]


def _read_test(
    folder: Path, task: str, source: Mapping[str, Any], code: str, changes: list[Change], as_shipped: bool
) -> list[Example]:
    path = folder / source["test"].format(language=code)
    by_word = {word: label for label, word in source["labels"][code].items()}
    script_words = source.get("script_words", {}).get(code, {})
    examples, unmatched = [], 0
    for number, (line, row) in enumerate(read_json_array(path), start=1):
        label = _label(path, line, row, by_word)
        if label in script_words:
            unmatched += 1
            label = source["labels"][code][label] if as_shipped else label
        fields = {field: _cell(path, line, row, key) for field, key in source["fields"].items()}
        examples.append(Example(f"{task}-{number:04}", code, fields, label))
    for label, script_word in script_words.items():
        given = source["labels"][code][label]
        what = f"the data says {given} for {label} where the paper's script waits for {script_word}"
        changes.append(Change(_relative(folder, path), what, unmatched, applied=not as_shipped))
    return examples


def _repair_exchanged(
    tests: Mapping[str, list[Example]], source: Mapping[str, Any], changes: list[Change], as_shipped: bool
) -> dict[str, list[Example]]:
    """Undo exchanged classes where the reference's gold says that they are exchanged; upstream may fix its file."""
    repaired = dict(tests)
    reference = tests[reference_language()]
    for code, swap in source.get("exchanged", {}).items():
        rows = tests[code]
        swapped = [Example(row.id, code, row.fields, swap.get(row.label, row.label)) for row in rows]
        touched = sum(
            old.label != new.label and new.label == right.label
            for old, new, right in zip(rows, swapped, reference, strict=True)
        )
        if touched <= len(rows) // 3:
            continue
        what = f"{' and '.join(swap)} are exchanged in the gold"
        changes.append(Change(source["test"].format(language=code), what, touched, applied=not as_shipped))
        repaired[code] = rows if as_shipped else swapped
    return repaired


def _read_training(
    folder: Path, task: str, source: Mapping[str, Any], changes: list[Change], as_shipped: bool
) -> dict[str, list[Example]]:
    """Training questions by language: labelled English rows, and the ready-made translation files taken apart."""
    training = {
        code: _read_train(folder, task, source, code, changes, as_shipped) for code in source.get("train_languages", ())
    }
    for code in source.get("question_languages", ()):
        path = folder / source["questions"].format(language=code)
        examples = []
        for number, (line, row) in enumerate(read_json_array(path), start=1):
            fields = _take_apart(path, line, _cell(path, line, row, "input"), list(source["fields"]))
            _cell(path, line, row, "answer")
            examples.append(Example(f"{task}-train-{number:05}", code, fields))
        training[code] = examples
    return training


def _read_train(
    folder: Path, task: str, source: Mapping[str, Any], code: str, changes: list[Change], as_shipped: bool
) -> list[Example]:
    path = folder / source["train"].format(language=code)
    words = source.get("train_labels")
    by_word = {word: label for label, word in (words or source["labels"][code]).items()}
    examples = []
    for number, (line, row) in enumerate(read_json_array(path), start=1):
        # SNLI has pairs on whose label its annotators could not agree: good questions, but no answer.
        label = _label(path, line, row, by_word) if "answer" in row else None
        if label is not None and words and as_shipped:
            label = words[label]
        fields = {field: _cell(path, line, row, key) for field, key in source["fields"].items()}
        examples.append(Example(f"{task}-train-{number:05}", code, fields, label))
    bare = sum(example.label is None for example in examples)
    if bare:
        changes.append(
            Change(_relative(folder, path), "training rows without an answer kept as questions", bare, applied=True)
        )
    if words:
        what = f"labels {', '.join(words.values())} mapped to {', '.join(words)}, as in the test files"
        changes.append(Change(_relative(folder, path), what, len(examples), applied=not as_shipped))
    return examples


def _take_apart(path: Path, line: int, text: str, fields: list[str]) -> dict[str, str]:
    """The fields of `Word: text` lines, one a field, before the answer line and the instruction."""
    lines = text.split("\n")
    parts = [part.partition(": ") for part in lines[: len(fields)]]
    if len(lines) != len(fields) + 3 or any(not value.strip() for _, _, value in parts):
        raise DataError(f"{path}:{line}: the question is not {len(fields)} lines of `word: text` and an instruction")
    return {field: value for field, (_, _, value) in zip(fields, parts, strict=True)}


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _write(out: Path, files: Mapping[str, list[Example]], changes: list[Change]) -> None:
    """Write into a folder beside `out` and rename it, so that `out` is whole or absent."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CHANGES).is_file())):
        raise RunError(f"{out}: exists and was not made by this import", hint="choose another --out")
    with atomic_folder(out) as partial:
        for name, examples in files.items():
            write_examples(partial / name, examples)
        (partial / CHANGES).write_text(_changes_text(files, changes), encoding="utf-8")


def _changes_text(files: Mapping[str, list[Example]], changes: list[Change]) -> str:
    lines = ["# Changes made on import", ""]
    for change in changes:
        done = "repaired" if change.applied else "left as shipped"
        lines.append(f"- `{change.file}`: {change.what}: {change.rows} rows, {done}.")
    lines += ["", "Line i of a file has the id i in every language. Label words became language-free ids.", ""]
    lines += ["| file | rows | language |", "|---|---|---|"]
    lines += [f"| {name} | {len(rows)} | {language_of(Path(name).stem).name} |" for name, rows in files.items()]
    return "\n".join(lines) + "\n"
