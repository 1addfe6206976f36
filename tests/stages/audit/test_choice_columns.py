from __future__ import annotations

from spillover.core.types import Example
from spillover.stages.audit.choice_columns import choice_columns

ROWS = [
    Example("a", "de", {}, "0", ("um 10:30 in Köln", "nie"), "text-1"),
    Example("b", "de", {}, "1", ("um 10.30", "Anna", "zu viel"), None),
]


def test_lengths_digits_and_clusters_of_answers():
    clusters: dict[str, int] = {}
    columns = choice_columns(ROWS, 2, clusters)
    assert columns.counts.tolist() == [2, 3]
    assert columns.characters.tolist() == [[16, 3], [8, 4]]
    assert columns.utf8.tolist() == [[17, 3], [8, 4]]
    assert columns.clusters.tolist() == [0, -1]
    assert clusters == {"text-1": 0}
    assert columns.digits[0, 0] == columns.digits[1, 0] != 0
    assert columns.digits[0, 1] == columns.digits[1, 1] == 0


def test_anchors_stand_in_the_place_of_their_answer():
    columns = choice_columns(ROWS, 2, {})
    kinds = zip(columns.anchor_rows.tolist(), columns.anchor_slots.tolist(), columns.is_number.tolist(), strict=True)
    assert list(kinds) == [(0, 0, True), (0, 0, True), (1, 0, True), (1, 1, False)]


def test_items_without_answers_have_empty_columns():
    columns = choice_columns([Example("a", "de", {"review": "Gut."}, "positive")], 0, {})
    assert columns.characters.shape == (1, 0)
    assert columns.counts.tolist() == [0]
