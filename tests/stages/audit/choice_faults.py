"""Plants one fault in one language of items that bring their own answers, as `faults.py` does in items with labels, and
makes such items of the demo data's sentences: as many as a check of a whole language needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Row = dict[str, object]

CHOICE_FOUND_BY: dict[str, set[str]] = {
    "answers reordered": {"choice-order"},
    "answers without label": {"choice-order"},
    "indices from 1": {"shifted-answers"},
    "single wrong answers": {"label-disagrees"},
    "equal answers": {"equal-choices", "identical-sides"},
    "other numbers": {"choice-numbers"},
    "long right answers": {"answer-length"},
    "untranslated answers": {"untranslated-field", "untranslated"},
    "mojibake in answers": {"mojibake"},
    "empty answers": {"unusable-choices"},
    "one answer less": {"choice-count", "unusable-choices"},
    "clusters lost": {"cluster-mismatch"},
}
CHOICE_FAULT_CHANGES_SCORES = {"answers without label", "indices from 1", "single wrong answers"}
WHOLE_CHOICE_FILE = {"indices from 1", "long right answers"}


def items_from_demo(nli: Mapping[str, list[Row]], task: str, n_choices: int) -> dict[str, list[Row]]:
    """An item for each premise of the nli data: which of some hypotheses, its own and other rows', goes with it? A
    number stands in every third item's answers; each item of `reading` is a cluster of its own."""
    data = {}
    for code, rows in nli.items():
        data[code] = []
        for i, row in enumerate(rows):
            others = [rows[(i + step) % len(rows)]["hypothesis"] for step in (5, 11, 17)[: n_choices - 1]]
            choices = [str(text) for text in others]
            gold = i % n_choices
            choices.insert(gold, str(row["hypothesis"]))
            if i % 3 == 0:
                choices = [f"{text} ({1900 + 7 * i + place})" for place, text in enumerate(choices)]
            fields = {"premise": row["premise"], "question": "cause"}
            if task == "reading":
                fields = {"passage": row["premise"], "question": f"{row['premise']} ({i})"}
            item = {"id": f"item-{i}", **fields, "choices": choices, "label": gold, "cluster": f"text-{i}"}
            data[code].append(item if task == "reading" else {k: v for k, v in item.items() if k != "cluster"})
    return data


def plant_choices(
    fault: str, data: Mapping[str, list[Row]], language: str, reference: str, rate: float, rng: np.random.Generator
) -> tuple[list[Row], list[str]]:
    """(rows, damaged ids) of `language` with `fault` in a share `rate` of the rows."""
    rows = [dict(row) for row in data[language]]
    n = max(1, round(rate * len(rows)))
    damaged = []
    for i in sorted(rng.permutation(len(rows))[:n].tolist()):
        before = data[language][i]
        rows[i] = before | PLANTED[fault](before, data[reference][i], rng)
        if rows[i] != before:
            damaged.append(str(before["id"]))
    return rows, damaged


def _reordered(row, reference, rng):
    order = _other_order(len(row["choices"]), rng)
    return {"choices": [row["choices"][i] for i in order], "label": order.index(row["label"])}


def _without_label(row, reference, rng):
    order = _other_order(len(row["choices"]), rng)
    while order[row["label"]] == row["label"]:
        order = _other_order(len(row["choices"]), rng)
    return {"choices": [row["choices"][i] for i in order]}


def _other_order(n: int, rng: np.random.Generator) -> list[int]:
    order = list(range(n))
    while order == list(range(n)):
        order = rng.permutation(n).tolist()
    return order


def _from_one(row, reference, rng):
    return {"label": row["label"] + 1}


def _wrong(row, reference, rng):
    return {"label": (row["label"] + 1 + int(rng.integers(len(row["choices"]) - 1))) % len(row["choices"])}


def _equal(row, reference, rng):
    wrong = (row["label"] + 1) % len(row["choices"])
    return _with_choice(row, wrong, row["choices"][row["label"]].rstrip(".。") + " !")


def _other_number(row, reference, rng):
    place = row["label"]
    text = "".join("7" if char == "9" else char for char in row["choices"][place])
    return _with_choice(row, place, text)


def _longer(row, reference, rng):
    text = row["choices"][row["label"]]
    return _with_choice(row, row["label"], " ".join([text] * 3))


def _untranslated(row, reference, rng):
    return _with_choice(row, row["label"], reference["choices"][row["label"]])


def _mojibake(row, reference, rng):
    return {"choices": [text.encode("utf-8").decode("latin-1") for text in row["choices"]]}


def _empty(row, reference, rng):
    return _with_choice(row, int(rng.integers(len(row["choices"]))), "")


def _less(row, reference, rng):
    wrong = (row["label"] + 1) % len(row["choices"])
    label = row["label"] - (wrong < row["label"])
    return {"choices": [text for i, text in enumerate(row["choices"]) if i != wrong], "label": label}


def _without_cluster(row, reference, rng):
    return {"cluster": ""} if "cluster" in row else {}


def _with_choice(row, place, text):
    return {"choices": [text if i == place else own for i, own in enumerate(row["choices"])]}


PLANTED = {
    "answers reordered": _reordered,
    "answers without label": _without_label,
    "indices from 1": _from_one,
    "single wrong answers": _wrong,
    "equal answers": _equal,
    "other numbers": _other_number,
    "long right answers": _longer,
    "untranslated answers": _untranslated,
    "mojibake in answers": _mojibake,
    "empty answers": _empty,
    "one answer less": _less,
    "clusters lost": _without_cluster,
}
