from __future__ import annotations

from spillover.stages.audit.anchor_columns import AnchorColumns, TiltColumns
from spillover.stages.audit.text_features import name_places, number_places


def tilts(first, second):
    columns = TiltColumns()
    columns.add(7, (first, second), list(map(number_places, (first, second))), list(map(name_places, (first, second))))
    names, rows, values = columns.arrays()
    assert set(rows.tolist()) <= {7}
    return sorted(values.tolist()), len(names)


def test_a_name_of_one_field_alone_tilts_wholly():
    assert tilts("Anna ran", "it ran") == ([100], 1)
    assert tilts("it ran", "in 1999") == ([-100], 1)


def test_a_name_of_both_fields_tilts_by_its_places():
    assert tilts("Anna and Olga", "Olga and Anna") == ([-69, 69], 2)
    assert tilts("Anna and Olga", "Anna and Olga") == ([], 0)


def test_an_inflected_name_is_one_name():
    assert tilts("Grant won", "Granta won") == ([], 0)


def test_anchors_are_rows_of_numbers_and_names():
    columns = AnchorColumns()
    columns.add(0, {5}, {6, 7})
    columns.add(2, set(), {6})
    hashes, rows, is_number = columns.arrays()
    assert sorted(zip(hashes.tolist(), rows.tolist(), is_number.tolist(), strict=True)) == [
        (5, 0, True), (6, 0, False), (6, 2, False), (7, 0, False)
    ]  # fmt: skip
