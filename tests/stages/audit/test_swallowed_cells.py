from __future__ import annotations

import pytest

from spillover.stages.audit.swallowed_cells import swallowed_cells
from tests.builders import write_rows
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, audit_folder, language_rows

SWALLOWED = '20" screen is sharp,positive\n1,Broke after two days,negative\n2,Fine'


def test_a_cell_with_labels_in_their_places_holds_rows():
    (fault,) = swallowed_cells(language_rows("en", [SWALLOWED, "fine"]))
    assert (fault.example_ids, fault.severity) == (["0"], None)


@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_a_cell_with_an_id_that_this_language_lacks_holds_rows(mark):
    text = f"gut\n1{mark}kaputt{mark}schlecht"
    (fault,) = swallowed_cells(language_rows("de", [text], ["good", "broke"]))
    assert (fault.example_ids, fault.severity) == (["0"], None)


def test_line_breaks_that_the_reference_lacks_are_a_warning():
    text = "Gut\nund schnell, und billig, und schön"
    (fault,) = swallowed_cells(language_rows("de", [text], ["Good, and fast, cheap and nice"]))
    assert (fault.severity, fault.certainty) == ("warning", "possible")
    assert not list(swallowed_cells(language_rows("de", [text], ["Good\nand fast, cheap and nice"])))
    assert not list(swallowed_cells(language_rows("en", [text]))), "prose of the reference"


def test_line_breaks_without_separators_are_text():
    assert not list(swallowed_cells(language_rows("de", ["Gut\nund schnell", "a, b, c"], ["Good", "a, b, c"])))


def test_json_lines_made_from_such_a_table_are_an_error(tmp_path):
    path = tmp_path / "sentiment" / "test" / "en.jsonl"
    write_rows(
        path, [{"id": "0", "review": SWALLOWED, "label": "positive"}, {"id": "3", "review": "Bad", "label": "negative"}]
    )
    (finding,) = audit_folder(tmp_path, config=WITHOUT_IDENTIFIER)
    assert (finding.check, finding.severity, finding.example_ids) == ("swallowed-cells", "error", ("0",))
