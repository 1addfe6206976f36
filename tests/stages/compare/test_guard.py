"""The guard of the reference language."""

from __future__ import annotations

import numpy as np

from spillover.stages.compare import compare
from tests.builders import (
    evaluation,
    random_hits,
)
from tests.stages.compare.builders import (
    QUICK,
)


def test_non_inferiority_needs_more_than_no_significance():
    same = evaluation({"en": random_hits(np.random.default_rng(0), 0.7, 40)})
    weak = compare(same, same, config=QUICK).guard
    assert not weak.held
    assert not weak.lost
    many = evaluation({"en": random_hits(np.random.default_rng(0), 0.7, 400)})
    assert compare(many, many, config=QUICK).guard.held
    worse = evaluation({"en": many.scores["en"].gold < 0})
    assert compare(many, worse, config=QUICK).guard.lost
