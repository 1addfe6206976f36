from __future__ import annotations

import json

import numpy as np

from spillover.stages.audit.parallelism import best_path, standardised
from tests.builders import write_rows
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, audit_folder, change, findings_by_check
from tests.stages.audit.faults import read_data

WORDS = ["water", "stone", "bridge", "winter", "letter", "garden", "mirror", "silver", "market", "window"]


def varied(folder, languages=("en", "de", "es", "fr"), items=80):
    """Texts of many lengths; every third has a number of its own."""
    rng = np.random.default_rng(5)
    lengths = rng.integers(2, 40, items)
    for code in languages:
        rows = []
        for i, n in enumerate(lengths):
            text = " ".join(f"{WORDS[int(k)]}{code}" for k in rng.integers(0, 10, int(n))) + (
                "?" if i % 4 == 0 else "."
            )
            rows.append(
                {
                    "id": f"item-{i}",
                    "review": text + (f" {1000 + 7 * i}" if i % 3 == 0 else ""),
                    "label": ("positive", "negative")[i % 2],
                }
            )
        write_rows(folder / "sentiment" / "test" / f"{code}.jsonl", rows)
    return folder


def move(rows, start, end):
    """Contents of a run one line up, ids as they were."""
    texts = [{k: v for k, v in row.items() if k != "id"} for row in rows]
    texts[start:end] = [*texts[start + 1 : end], texts[start]]
    return [{"id": row["id"]} | text for row, text in zip(rows, texts, strict=True)]


def test_parallel_texts_raise_nothing(tmp_path):
    folder = varied(tmp_path)
    assert [f for f in audit_folder(folder, config=WITHOUT_IDENTIFIER) if f.severity != "note"] == []


def test_a_shift_by_one_is_found_with_its_rows(tmp_path):
    folder = varied(tmp_path)
    change(folder, "de", lambda rows: move(rows, 20, 60))
    finding = findings_by_check(folder, "de")["shifted-items"]
    assert "by +1" in finding.message
    rows = {int(i.removeprefix("item-")) for i in finding.example_ids}
    assert len(rows & set(range(20, 59))) >= 36
    assert len(rows - set(range(20, 60))) <= 2
    assert finding.ceiling == 1, "the labels moved with the texts"
    labels = [row["label"] for row in read_data(varied(tmp_path / "clean") / "sentiment" / "test")["de"]]
    change(folder, "de", lambda rows: [row | {"label": label} for row, label in zip(rows, labels, strict=True)])
    assert 0.5 <= findings_by_check(folder, "de")["shifted-items"].ceiling < 0.6, "texts moved, labels stayed"


def test_a_file_out_of_order_is_found(tmp_path):
    folder = varied(tmp_path)
    order = np.random.default_rng(0).permutation(80)
    change(
        folder,
        "de",
        lambda rows: [
            {"id": row["id"]} | {k: v for k, v in rows[j].items() if k != "id"}
            for row, j in zip(rows, order, strict=True)
        ],
    )
    assert "unordered-items" in findings_by_check(folder, "de")


def test_two_rows_with_numbers_that_changed_places_are_named(tmp_path):
    folder = varied(tmp_path)

    def swap(rows):
        first, second = rows[3]["review"] + " 40512 77731", rows[30]["review"] + " 51888 90411"
        return [row | {"review": {3: second, 30: first}.get(i, row["review"])} for i, row in enumerate(rows)]

    for code in ("en", "es", "fr"):
        change(
            folder,
            code,
            lambda rows: [
                row | {"review": row["review"] + {3: " 40512 77731", 30: " 51888 90411"}.get(i, "")}
                for i, row in enumerate(rows)
            ],
        )
    change(folder, "de", swap)
    assert findings_by_check(folder, "de")["misplaced-item"].evidence["other item"] == {
        "item-3": "item-30",
        "item-30": "item-3",
    }


def test_an_item_that_few_languages_have_is_extra_there(tmp_path):
    folder = varied(tmp_path)
    change(folder, "de", lambda rows: [*rows, rows[0] | {"id": "new"}])
    assert findings_by_check(folder, "de")["extra-item"].example_ids == ("new",)
    assert "missing-item" not in findings_by_check(folder, "es")


def test_the_best_path_pays_for_every_change():
    scores = np.zeros((30, 3))
    scores[10:20, 2] = 2.0
    assert best_path(scores).tolist() == [1] * 10 + [2] * 10 + [1] * 10 or best_path(scores)[10:20].tolist() == [2] * 10
    scores[10:20, 2] = 0.1
    assert best_path(scores).tolist() == [1] * 30


def test_order_in_the_file_does_not_matter_when_ids_are_right(tmp_path):
    folder = varied(tmp_path)
    change(folder, "de", lambda rows: rows[::-1])
    assert findings_by_check(folder, "de") == {}
    assert json.loads((folder / "sentiment" / "test" / "de.jsonl").read_text().splitlines()[0])["id"] == "item-79"


def test_texts_of_one_length_do_not_vary_by_rounding():
    """Seven logarithms of one length, one off in its last digit: that is no spread to divide by."""
    lengths = np.log(np.full((1, 7, 1), 7.3, dtype=np.float32))
    lengths[0, 0] = np.nextafter(lengths[0, 0], np.float32(9))
    assert np.abs(standardised(lengths)).max() < 1e-5
    lengths[0, 0] = 3
    assert np.abs(standardised(lengths)).max() > 2
