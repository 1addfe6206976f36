"""What the other languages agree on as an item's label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NO_CONSENSUS = -1
LEAST_UNANIMOUS = 3  # other languages that must agree, and none differ, for a label to be certain
Labels = NDArray[np.int32]


def consensus(labels: Labels, n_labels: int, share: float) -> tuple[Labels, NDArray[np.bool_]]:
    """For each language the label that the others agree on: [languages, items] label numbers, `NO_CONSENSUS` where less
    than `share` of them agree; and whether at least three others have it and none another."""
    votes = np.stack([(labels == label).sum(axis=0) for label in range(n_labels)])
    agreed_labels = np.full(labels.shape, NO_CONSENSUS, dtype=np.int32)
    unanimous = np.zeros(labels.shape, dtype=np.bool_)
    for number, language_labels in enumerate(labels):
        others = votes - (np.arange(n_labels)[:, None] == language_labels)
        top, total = others.max(axis=0), others.sum(axis=0)
        agreed = (total > 0) & (top >= share * total)
        agreed_labels[number] = np.where(agreed, others.argmax(axis=0), NO_CONSENSUS)
        unanimous[number] = agreed & (top == total) & (total >= LEAST_UNANIMOUS)
    return agreed_labels, unanimous
