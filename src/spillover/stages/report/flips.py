"""Flipped predictions, newly correct and newly wrong, with what was asked and how probable each label was.

Labels' probabilities are normalised over the labels. Texts come from the tables of scores; tables of an older version
hold none, and then the page says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.languages import reference_language
from spillover.core.types import Evaluation, LabelScores
from spillover.stages.evaluate.score_tables import read_texts
from spillover.stats.calibration import normalised
from spillover.stats.summary import hits

# All texts of one page, in bytes. Above it the longest are cut, all at one length, and the page says at which.
MOST_BYTES = 2_500_000
RIGHT, WRONG = 1, 0


def changed_items(before: tuple[Path, Evaluation], after: tuple[Path, Evaluation]) -> dict[str, Any]:
    """{task, labels, reference, cut, has_texts, texts, rows}: a row is [language, example id, flipped (1 newly correct,
    0 newly wrong), gold, shares before, shares after, text]; shares are per mille. `texts`: the same items in the
    reference language by id."""
    rows: list[list[Any]] = []
    labels: tuple[str, ...] = ()
    # After: the folder whose tables were written last, with the same items.
    texts = {code: read_texts(after[0] / f"{code}.parquet") for code in after[1].scores}
    for code, new in after[1].scores.items():
        old = before[1].scores.get(code)
        if old is None or not len(old.labels):
            continue
        labels = new.labels
        rows += _turned(old, new, texts[code])
    reference = reference_language()
    wanted = {row[1] for row in rows if row[0] != reference}
    counterparts = {key: text for key, text in texts.get(reference, {}).items() if key in wanted}
    cut = _cut([row[-1] for row in rows if row[-1]] + list(counterparts.values()), MOST_BYTES)
    for row in rows:
        row[-1] = _shortened(row[-1], cut)
    return {
        "task": after[1].task,
        "labels": list(labels),
        "reference": reference,
        "has_texts": any(texts.values()),
        "cut": cut,
        "texts": {key: _shortened(text, cut) for key, text in counterparts.items()},
        "rows": rows,
    }


def _turned(old: LabelScores, new: LabelScores, texts: dict[str, str]) -> list[list[Any]]:
    place = {example_id: i for i, example_id in enumerate(old.example_ids)}
    old_right, new_right = hits(old) == 1, hits(new) == 1
    shares = [np.rint(1000 * np.exp(normalised(side.logprobs))).astype(int) for side in (old, new)]
    rows = []
    for i, example_id in enumerate(new.example_ids):
        j = place.get(example_id)
        if j is None or old_right[j] == new_right[i]:
            continue
        row = [new.language, example_id, RIGHT if new_right[i] else WRONG, int(new.gold[i])]
        rows.append([*row, shares[0][j].tolist(), shares[1][i].tolist(), texts.get(example_id, "")])
    return rows


def _cut(texts: list[str], most: int) -> int | None:
    """The length at which texts are cut so that all together take at most so many bytes; None when they fit whole."""
    sizes = np.sort([len(text.encode()) for text in texts])
    if sizes.sum() <= most:
        return None
    # Bytes are at least characters, so that a cut by characters of the same count could be too long by the script's
    # width; the mean width is taken off.
    width = sizes.sum() / max(1, sum(map(len, texts)))
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    room = (most - before) / np.arange(len(sizes), 0, -1)
    return max(80, int(room[sizes > room][0] / width))


def _shortened(text: str, cut: int | None) -> str:
    if cut is None or len(text) <= cut:
        return text
    return f"{text[:cut]} … ({len(text) - cut:,} more characters)"
