"""Plants one fault in one language of clean parallel data, seeded. The tests and `make bench-audit` use it.

Data is `{language: [row, ...]}` with rows as in our JSON lines, all languages in the same order. Each function returns
the damaged rows of one language, what goes into its training file, and the ids that were damaged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import yaml

Row = dict[str, str]
Data = Mapping[str, list[Row]]

FOUND_BY: dict[str, set[str]] = {
    "exchanged classes": {"label-permutation"},
    "cyclic shift of classes": {"label-permutation"},
    "single wrong labels": {"label-disagrees"},
    "off-by-one lines": {"shifted-items", "label-disagrees", "misplaced-item"},
    "untranslated rows": {"untranslated"},
    "truncated rows": {"truncated"},
    "mojibake": {"mojibake"},
    "duplicates": {"repeated-item", "repeated-item-labels"},
    "identical pairs": {"identical-sides"},
    "leaked training rows": {"leaked-question"},
    "nearly leaked training rows": {"near-leak"},
    "label word missing": {"unknown-label"},
    "exchanged fields": {"exchanged-fields"},
    "added notes": {"boilerplate"},
    "added prefixes": {"boilerplate"},
    "added closings": {"boilerplate"},
    "added tags": {"stray-tags"},
}
ADDED_TEXTS = yaml.safe_load((Path(__file__).parent / "added_texts.yaml").read_text(encoding="utf-8"))
ADDED = ("added notes", "added prefixes", "added closings")
CHANGES_SCORES = {
    "exchanged classes", "cyclic shift of classes", "single wrong labels", "off-by-one lines", "label word missing",
}  # fmt: skip
LABEL_FAULTS = {"exchanged classes", "cyclic shift of classes", "label word missing", "single wrong labels"}
WHOLE_FILE = {"exchanged classes", "cyclic shift of classes", "label word missing"}


def fields(row: Row) -> list[str]:
    return [key for key in row if key not in ("id", "label")]


def plant(
    fault: str, data: Data, language: str, reference: str, rate: float, rng: np.random.Generator
) -> tuple[list[Row], list[Row], list[str]]:
    """(test rows, training rows, damaged ids) of `language` with `fault` in a share `rate` of the rows."""
    rows = [dict(row) for row in data[language]]
    labels = sorted({row["label"] for row in rows})
    n = max(1, round(rate * len(rows)))
    chosen = sorted(rng.permutation(len(rows))[:n].tolist())
    if fault in LABEL_FAULTS:
        return _damage_labels(fault, rows, labels, chosen, rng)
    if fault == "off-by-one lines":
        return _shift(rows, max(2, n), rng)
    if fault in ("leaked training rows", "nearly leaked training rows"):
        near = fault.startswith("nearly")
        return rows, [_leak(rows[i], near) for i in chosen], [f"leak-{rows[i]['id']}" for i in chosen]
    if fault in ADDED:
        return _add(rows, chosen, ADDED.index(fault), ADDED_TEXTS.get(language, ADDED_TEXTS[reference]), rng)
    others = {fault: lambda i, key: EDITS[fault](rows, data[reference], i, key, rng)}
    damaged = []
    for i in chosen:
        before = {key: rows[i][key] for key in fields(rows[i])}
        edited = {key: others[fault](i, key) for key in fields(rows[i])}
        rows[i] = rows[i] | edited
        if edited != before:
            damaged.append(rows[i]["id"])
            if fault == "duplicates":
                damaged.append(rows[_twin(rows, i)]["id"])
    return rows, [], list(dict.fromkeys(damaged))


def _damage_labels(fault, rows, labels, chosen, rng) -> tuple[list[Row], list[Row], list[str]]:
    if fault in ("exchanged classes", "cyclic shift of classes"):
        turn = dict(zip(labels, labels[1:] + labels[:1], strict=True))
        if fault == "exchanged classes":
            turn = {labels[-1]: labels[-2], labels[-2]: labels[-1]}
        return _relabel(rows, range(len(rows)), lambda row: turn.get(row["label"], row["label"]))
    if fault == "label word missing":
        lost = labels[int(rng.integers(len(labels)))]
        return _relabel(rows, range(len(rows)), lambda row: "zork" if row["label"] == lost else row["label"])
    return _relabel(rows, chosen, lambda row: str(rng.choice([label for label in labels if label != row["label"]])))


def _twin(rows: list[Row], i: int) -> int:
    return (i + 7) % len(rows)


def _relabel(rows: list[Row], chosen, label: Callable[[Row], str]) -> tuple[list[Row], list[Row], list[str]]:
    damaged = []
    for i in chosen:
        new = label(rows[i])
        if new != rows[i]["label"]:
            damaged.append(rows[i]["id"])
            rows[i]["label"] = new
    return rows, [], damaged


def _shift(rows: list[Row], n: int, rng: np.random.Generator) -> tuple[list[Row], list[Row], list[str]]:
    """A run of n lines moves up by one, ids stay: the run's first content comes after its last."""
    start = int(rng.integers(len(rows) - n + 1))
    run = list(range(start, start + n))
    moved = [{key: value for key, value in rows[i].items() if key != "id"} for i in [*run[1:], run[0]]]
    for i, content in zip(run, moved, strict=True):
        rows[i] = {"id": rows[i]["id"]} | content
    return rows, [], [rows[i]["id"] for i in run]


def _add(rows, chosen, kind, added_texts, rng):
    """The same text into the last field of the rows: a note anywhere, a prefix before it, a closing sentence after it."""
    for i in chosen:
        key = fields(rows[i])[-1]
        text = rows[i][key]
        place = (int(rng.integers(len(text))), 0, len(text))[kind]
        rows[i] = rows[i] | {key: text[:place] + added_texts[kind] + text[place:]}
    return rows, [], [rows[i]["id"] for i in chosen]


def _leak(row: Row, near: bool) -> Row:
    texts = {key: row[key] for key in fields(row)}
    if near:
        key = max(texts, key=lambda name: len(texts[name]))
        texts[key] += " x!"
    return {"id": f"leak-{row['id']}"} | texts


def _untranslated(rows, reference, i, key, rng):
    return reference[i][key]


def _truncated(rows, reference, i, key, rng):
    longest = max(fields(rows[i]), key=lambda name: len(rows[i][name]))
    text = rows[i][key]
    return text[: int(len(text) * rng.uniform(0.2, 0.5))] if key == longest else text


def _mojibake(rows, reference, i, key, rng):
    return rows[i][key].encode("utf-8").decode("latin-1")


def _duplicate(rows, reference, i, key, rng):
    return rows[_twin(rows, i)][key]


def _identical(rows, reference, i, key, rng):
    return rows[i][fields(rows[i])[0]]


def _exchanged(rows, reference, i, key, rng):
    names = fields(rows[i])
    return rows[i][names[1 - names.index(key)]]


def _tagged(rows, reference, i, key, rng):
    middle = len(rows[i][key]) // 2
    return rows[i][key][:middle] + "<br>" + rows[i][key][middle:]


EDITS = {
    "untranslated rows": _untranslated,
    "truncated rows": _truncated,
    "mojibake": _mojibake,
    "duplicates": _duplicate,
    "identical pairs": _identical,
    "exchanged fields": _exchanged,
    "added tags": _tagged,
}


def read_data(folder: Path) -> dict[str, list[Row]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }


def write_data(folder: Path, task: str, data: Data, training: Mapping[str, list[Row]]) -> Path:
    for split, files in (("test", data), ("train", training)):
        for code, rows in files.items():
            path = folder / task / split / f"{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return folder
