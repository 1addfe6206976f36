from __future__ import annotations

from types import SimpleNamespace

from spillover.core.config import AuditThresholds
from spillover.core.types import Example
from spillover.stages.audit.inputs import LanguageRows, computed_once, item_hash
from spillover.tasks.wording import load_task


def row(text, example_id="i"):
    return Example(example_id, "en", {"review": text})


def test_a_result_is_computed_once_for_each_input():
    calls = []

    @computed_once
    def count(given):
        calls.append(given)
        return len(calls)

    first, second = (SimpleNamespace(cache={}) for _ in range(2))
    assert [count(first), count(first), count(second)] == [1, 1, 2]


def test_equal_texts_have_one_hash_whatever_their_id():
    assert item_hash(row("It is good.", "a")) == item_hash(row("It is good.", "b"))
    assert item_hash(row("It is good.")) != item_hash(row("It is bad."))


def test_rows_are_paired_with_the_reference_where_it_has_them():
    task = load_task("sentiment")
    rows = LanguageRows(task, "de", [row("eins", "1"), row("zwei", "2")], {"2": row("two", "2")}, AuditThresholds())
    assert [(own.fields["review"], other.fields["review"]) for own, other in rows.with_counterparts()] == [
        ("zwei", "two")
    ]
    assert len(rows.hashes) == 2
