"""Nested settings by dotted keys, as `--set` names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value that is no mapping, by its key: `{"train": {"rank": 8}}` is `{"train.rank": 8}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= dotted(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat
