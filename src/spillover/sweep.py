"""One config with a `grid` of dotted keys and values → one RunConfig for each combination."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from spillover.core.config import RunConfig, check_config, put
from spillover.core.errors import ConfigError
from spillover.core.files import hash_of, read_yaml


def load_grid(path: Path) -> list[RunConfig]:
    """Every combination of the grid's values over the rest of the file, in order; names end in a hash of the values.

    ConfigError lists what is wrong in any of them before the first one is run.
    """
    values = dict(read_yaml(path))
    grid = values.pop("grid", None)
    if not isinstance(grid, dict) or not grid or not all(isinstance(choices, list) for choices in grid.values()):
        raise ConfigError(
            f"{path}: grid: expected keys with lists of values", hint="grid: {build.sources: [[es], [de]]}"
        )
    configs: list[RunConfig] = []
    problems: list[str] = []
    for choice in product(*grid.values()):
        point: dict[str, Any] = dict(values)
        for key, value in zip(grid, choice, strict=True):
            put(point, key.split("."), value, problems)
        picked = dict(zip(grid, choice, strict=True))
        point["name"] = f"{values.get('name', path.stem)}-{hash_of(picked)[:8]}"
        configs.append(check_config(point, source=f"{path} {picked}", problems=problems))
    return configs
