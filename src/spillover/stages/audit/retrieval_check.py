"""Does a sentence encoder put each translation next to its own reference item? The only check that needs a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spillover.core.types import Encode, Finding
from spillover.stages.audit.profile import Sheet, counted
from spillover.tasks.overlap import text_key

BLOCK = 1024


def nearest_items(sheet: Sheet, encode: Encode) -> Iterator[Finding]:
    """Items whose nearest reference item is another one, by at least `encoder_margin` of cosine.

    Sees meaning as far as the encoder knows the language; it says "possible" for that reason. Items that are the same
    text in the reference are one item here. Cannot see small errors, such as a lost "not".
    """
    pairs = list(sheet.pairs())
    if not pairs:
        return
    own = _unit(encode(["\n".join(row.fields.values()) for row, _ in pairs]))
    theirs = _unit(encode(["\n".join(twin.fields.values()) for _, twin in pairs]))
    texts = [text_key(twin) for _, twin in pairs]
    found = {}
    for start in range(0, len(pairs), BLOCK):
        cosine = own[start : start + BLOCK] @ theirs.T
        for row, nearest in enumerate(cosine.argmax(axis=1)):
            i = start + row
            gap = float(cosine[row, nearest] - cosine[row, i])
            if gap >= sheet.config.encoder_margin and texts[nearest] != texts[i]:
                found[pairs[i][0].id] = pairs[nearest][0].id
    if found:
        yield sheet.finding(
            "nearest-item", "warning", f"{counted(len(found), 'are')} nearer to another item of the reference",
            list(found), evidence={"nearest": found}, certainty="possible", mend="compare the rows",
        )  # fmt: skip


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
