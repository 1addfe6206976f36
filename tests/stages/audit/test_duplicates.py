from __future__ import annotations

from tests.builders import small_data, write_rows
from tests.stages.audit.builders import change, findings_by_check


def pairs(folder, english, german):
    for code, rows in (("en", english), ("de", german)):
        made = [{"id": f"p{i}", "sentence1": a, "sentence2": b, "label": "same"} for i, (a, b) in enumerate(rows)]
        write_rows(folder / "paraphrase" / "test" / f"{code}.jsonl", made)
    return findings_by_check(folder, "de", "paraphrase")


def test_sides_that_became_one_in_translation_and_the_reverse(tmp_path):
    checks = pairs(
        tmp_path,
        [
            ("He left Rome first.", "First he left Rome."),
            ("One text.", "One text."),
            ("Both are one.", "Both are one!"),
        ],
        [
            ("Zuerst verließ er Rom.", "Zuerst verließ er Rom."),
            ("Ein Text.", "Ein anderer."),
            ("Beide eins.", "Beide eins"),
        ],
    )
    assert checks["identical-sides"].example_ids == ("p0",)
    assert checks["identical-sides"].evidence["also in the reference"] == 1
    assert checks["differing-sides"].example_ids == ("p1",)


def test_duplicates_with_two_labels_lower_the_ceiling(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: [rows[0] | {"review": rows[1]["review"]}, *rows[1:]])
    assert findings_by_check(folder, "de")["repeated-item-labels"].ceiling == 5 / 6


def test_duplicates_of_the_source_are_reported_there_alone(tmp_path):
    folder = small_data(tmp_path)
    for code in ("en", "de"):
        change(folder, code, lambda rows: [rows[2] | {"id": "item-0"}, *rows[1:]])
    assert "repeated-item" in findings_by_check(folder, "en")
    assert "repeated-item" not in findings_by_check(folder, "de")


def test_a_text_that_says_its_label_is_found(tmp_path):
    folder = small_data(tmp_path)
    change(
        folder,
        "en",
        lambda rows: [
            rows[0] | {"review": "good. Sentiment: positive"},
            rows[1] | {"review": "a negative view"},
            *rows[2:],
        ],
    )
    assert findings_by_check(folder, "en")["label-in-text"].example_ids == ("item-0",)
