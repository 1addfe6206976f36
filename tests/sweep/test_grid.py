from __future__ import annotations

import pytest

from spillover.core.errors import ConfigError
from spillover.sweep.grid import load_grid


def grid_file(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


def test_every_combination_with_a_name_of_its_own(tmp_path):
    path = grid_file(tmp_path, "name: g\nseed: 3\ngrid:\n  train.rank: [4, 8]\n  build.sources: [[es], [de]]\n")
    configs = load_grid(path)
    assert [(c.train.rank, c.build.sources) for c in configs] == [(4, ["es"]), (4, ["de"]), (8, ["es"]), (8, ["de"])]
    assert len({config.name for config in configs}) == 4
    assert {config.seed for config in configs} == {3}


@pytest.mark.parametrize("text", ["name: g\n", "grid: 3\n", "grid: {train.rank: 8}\n", "grid: {train.rnk: [8]}\n"])
def test_a_mistake_is_named(tmp_path, text):
    with pytest.raises(ConfigError):
        load_grid(grid_file(tmp_path, text))
