"""How long a text should be, from the lengths of the same text in the other languages."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.inputs import computed_once
from spillover.stages.audit.profile import LanguageProfiles

Floats = NDArray[np.float64]


@computed_once
def log_shares(languages: LanguageProfiles) -> Mapping[str, Floats]:
    """Language → [items, fields] log of the share that is left of the length expected from the other languages; NaN
    where it or all others lack the item. With two languages the reference is believed and left out."""
    if len(languages.profiles) < 2:
        return {}
    lengths = languages.shapes()[..., 0].astype(np.float64)
    relative = lengths - median(lengths, 1)[:, None]
    left = relative - median_of_others(relative)
    return {code: left[number] for number, code in enumerate(languages.profiles) if not languages.believed(code)}


def median_of_others(values: Floats) -> Floats:
    """[languages, ...] → the same shape: the median of all other languages, without NaN; NaN where no other has one."""
    order = np.argsort(values, axis=0, kind="stable")
    ranks = np.argsort(order, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    known = np.isfinite(values)
    n_others = known.sum(axis=0) - known

    def of_others(position: NDArray[np.int64]) -> Floats:
        """The value at a position of the ordered others: one further on from where the language itself stands."""
        shifted = np.clip(position + (position >= ranks), 0, len(values) - 1)
        return np.asarray(np.take_along_axis(ordered, shifted, axis=0))

    middle = (of_others((n_others - 1) // 2) + of_others(n_others // 2)) / 2
    return np.where(n_others > 0, middle, np.nan)


def median(values: Floats, axis: int) -> Floats:
    """The median without NaN; NaN where there is nothing else, such as an item that no other language has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis))
