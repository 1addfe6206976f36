from __future__ import annotations

import pytest

from spillover.core.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (960, "16 min"), (6000, "1.7 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
