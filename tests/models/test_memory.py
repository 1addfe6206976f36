from __future__ import annotations

from spillover.models.memory import gibibytes


def test_sizes_are_in_gibibytes():
    assert gibibytes(16_000_000_000) == "14.9 GiB"
