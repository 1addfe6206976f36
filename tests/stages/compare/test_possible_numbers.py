"""However few the items, no number of a comparison lies beyond what can be: in tables, sentences, JSON and LaTeX."""

from __future__ import annotations

import re

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.stages.compare.change_tables import GROUP_COLUMNS, LANGUAGE_COLUMNS
from spillover.stages.compare.contrasts import CONTRAST_COLUMNS, SEED_COLUMNS, TrainedRun
from spillover.stages.compare.latex import to_latex
from spillover.stages.compare.stage import compare_arms
from tests.builders import random_evaluation

RANGE = re.compile(r"(-?\d+) to (-?\d+)")


def assert_within_declared_range(table, columns):
    for column in columns:
        if (match := RANGE.fullmatch(column.range)) and column.name in table:
            values = np.concatenate([np.atleast_1d(np.asarray(value, float)) for value in table[column.name]])
            values = values[~np.isnan(values)]
            low, high = map(float, match.groups())
            assert ((values >= low) & (values <= high)).all(), (column.name, values.min(), values.max())


@pytest.mark.parametrize("n", [2, 3, 4, 6, 12])
def test_every_number_of_a_comparison_is_possible(n):
    rng = np.random.default_rng(n)
    languages = ("en", "de", "es")
    runs = []
    for arm, seed in (("translate", 0), ("translate", 1), ("shuffled", 0)):
        before, after = (random_evaluation(rng, languages, n, skill=skill) for skill in (-3.0, 3.0))
        runs.append(TrainedRun(f"{arm}{seed}", arm, arm, seed, ("de",), before, after))
    comparison = compare_arms(runs, config=CompareConfig(draws=50, level=0.99))
    assert_within_declared_range(comparison.languages, LANGUAGE_COLUMNS)
    assert_within_declared_range(comparison.groups, GROUP_COLUMNS)
    assert_within_declared_range(comparison.contrasts, CONTRAST_COLUMNS)
    assert_within_declared_range(comparison.seeds, SEED_COLUMNS)
    text = "\n".join([*map(str, comparison.verdict), to_latex(comparison)])
    numbers = [float(number) for number in re.findall(r"[+-]\d+\.\d+", text)]
    assert max(map(abs, numbers), default=0) <= 200
    assert not re.search(r"detectable \w+ is (about )?\d{3,}", text)
