"""The result as JSON."""

from __future__ import annotations

from spillover.core.files import plain
from spillover.stages.compare.result import to_plain


def test_json_holds_the_numbers_of_each_sentence(hard_tuning):
    found = plain(to_plain(hard_tuning))
    assert all(sentence["numbers"] for sentence in found["verdict"])
    assert found["guard"]["held"] in (True, False)
