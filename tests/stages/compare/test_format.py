"""Numbers as a person reads them."""

from __future__ import annotations

import math

import pytest

from spillover.stages.compare.format import area_span, p_value, percent, points, span


@pytest.mark.parametrize(
    ("share", "text"), [(0.0523, "+5.2"), (-0.0523, "-5.2"), (0.0004, "0.0"), (-0.0004, "0.0"), (math.nan, "–")]
)
def test_points_have_a_sign_unless_they_round_to_zero(share, text):
    assert points(share) == text


def test_p_is_never_zero():
    assert [p_value(p) for p in (0.0, 0.0123, 1.0, math.nan)] == ["<0.001", "0.012", "1.000", "–"]


def test_intervals_and_their_absence():
    assert span(-0.01, 0.02) == "-1.0 to +2.0"
    assert span(math.nan, math.nan) == percent(math.nan) == "–"
    assert area_span(0.1, 0.05, 0.15) == "+0.100 (+0.050 to +0.150)"
    assert area_span(0.1, math.nan, math.nan) == "+0.100 (nothing varies, no interval)"
    assert area_span(math.nan, math.nan, math.nan) == "undefined"
