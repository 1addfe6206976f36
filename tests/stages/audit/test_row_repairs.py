from __future__ import annotations

from spillover.core.types import Example
from spillover.stages.audit.row_repairs import (
    DropCopies,
    ExchangeFields,
    RenameLabels,
    ReorderChoices,
    RestoreText,
    SetLabels,
)


def rows(*labels):
    return [Example(f"i{i}", "de", {"review": "caf\u00c3\u00a9"}, label) for i, label in enumerate(labels)]


def test_labels_are_renamed_and_others_left_alone():
    renamed = RenameLabels({"gut": "positive"}).apply(rows("gut", "negative", None))
    assert [row.label for row in renamed] == ["positive", "negative", None]


def test_labels_of_single_rows_are_set():
    assert [row.label for row in SetLabels({"i1": "positive"}).apply(rows("negative", "negative"))] == [
        "negative",
        "positive",
    ]


def test_text_is_restored_in_the_named_rows_alone():
    assert [row.fields["review"] for row in RestoreText({"i0"}).apply(rows("a", "a"))] == ["café", "caf\u00c3\u00a9"]


def test_the_first_of_identical_rows_is_kept():
    first, second = rows("a", "b")
    assert DropCopies({"i0"}).apply([first, second, first, second]) == [first, second, None, second]


def test_fields_are_exchanged_in_the_named_rows_alone():
    pairs = [Example(f"i{i}", "de", {"premise": "a", "hypothesis": "b", "source": "c"}, None) for i in range(2)]
    first, second = ExchangeFields({"i0"}, "premise", "hypothesis").apply(pairs)
    assert list(first.fields.items()) == [("premise", "b"), ("hypothesis", "a"), ("source", "c")]
    assert second == pairs[1]


def test_choices_are_reordered_and_the_label_goes_with_its_own_or_stays():
    given = [Example(f"i{i}", "de", {}, "0", ("b", "c", "a")) for i in range(3)]
    first, second, third = ReorderChoices({"i0": [2, 0, 1], "i1": [2, 0, 1]}, {"i0"}).apply(given)
    assert (first.choices, first.label) == (("a", "b", "c"), "1")
    assert (second.choices, second.label) == (("a", "b", "c"), "0")
    assert third == given[2]
