from __future__ import annotations

import pytest

from spillover.stages.audit.messages import counted, preview


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((1, "have"), "1 item has"), ((1, "are"), "1 item is"), ((1, "hold", "row"), "1 row holds"), ((2, "are"), "2 items are")],
)  # fmt: skip
def test_one_is_no_plural(arguments, text):
    assert counted(*arguments) == text


def test_a_message_shows_a_few_words():
    assert preview(["a", "b"]) == "a, b"
    assert preview(map(str, range(7))) == "0, 1, 2, 3, 4 and 2 more"
    assert len(preview(["a long label " * 20])) <= 60
