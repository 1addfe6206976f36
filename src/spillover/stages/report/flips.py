"""Flipped predictions, newly correct and newly wrong, with what was asked and how probable each label was.

Labels' probabilities are normalised over the labels. Texts come from the tables of scores; tables of an older version
hold none, and then the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.languages import reference_language
from spillover.core.types import Evaluation, LabelScores
from spillover.stages.evaluate.score_tables import read_texts
from spillover.stats.calibration import normalised, rescaled

# All texts of one page, in bytes. Above it the longest are shortened, all to one length, and the page says to which.
MAX_TEXT_BYTES = 2_500_000
MIN_LENGTH = 80


def flipped_items(before: tuple[Path, Evaluation], after: tuple[Path, Evaluation]) -> dict[str, Any]:
    """What page.js shows: labels, reference (its code), has_texts, longest (characters of a shortened text, else None),
    counterparts (the same items in the reference language, by id) and rows, one for each flipped prediction. Each side
    is (its folder, its evaluation)."""
    rows: list[dict[str, Any]] = []
    labels: tuple[str, ...] = ()
    # After: the folder whose tables were written last, with the same items.
    texts = {code: read_texts(after[0] / f"{code}.parquet") for code in after[1].scores}
    for code, new in after[1].scores.items():
        old = before[1].scores.get(code)
        if old is not None and len(old.labels):
            labels = _shown_labels(new)
            rows += _flips(old, new, texts[code])
    reference = reference_language()
    ids = {row["id"] for row in rows if row["language"] != reference}
    counterparts = {key: text for key, text in texts.get(reference, {}).items() if key in ids}
    longest = longest_text([row["text"] for row in rows] + list(counterparts.values()), MAX_TEXT_BYTES)
    return {
        "labels": list(labels),
        "reference": reference,
        "has_texts": any(texts.values()),
        "longest": longest,
        "counterparts": {key: _shortened(text, longest) for key, text in counterparts.items()},
        "rows": [row | {"text": _shortened(row["text"], longest)} for row in rows],
    }


def _shown_labels(scores: LabelScores) -> tuple[str, ...]:
    """The labels; where items bring their own answers, the numbers of as many as an item has at most."""
    return (
        scores.labels if scores.kind == "labels" else scores.labels[: int((scores.label_tokens > 0).sum(axis=1).max())]
    )


def _flips(old: LabelScores, new: LabelScores, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each item that is correct on one side alone: language, id, newly_correct, gold (index of the label),
    text, and the labels' probabilities `before` and `after`, per mille."""
    positions = {example_id: i for i, example_id in enumerate(old.example_ids)}
    old_correct, new_correct = (rescaled(scores, scores.length).hits() == 1 for scores in (old, new))
    old_shares, new_shares = (
        np.rint(1000 * np.exp(normalised(scores.logprobs))).astype(int) for scores in (old, new)
    )  # fmt: skip
    rows, n_shown = [], len(_shown_labels(new))
    for i, example_id in enumerate(new.example_ids):
        j = positions.get(example_id)
        if j is None or old_correct[j] == new_correct[i]:
            continue
        rows.append(
            {
                "language": new.language,
                "id": example_id,
                "newly_correct": bool(new_correct[i]),
                "gold": int(new.gold[i]),
                "before": old_shares[j].tolist()[:n_shown],
                "after": new_shares[i].tolist()[:n_shown],
                "text": texts.get(example_id, ""),
            }
        )
    return rows


def longest_text(texts: Sequence[str], most_bytes: int) -> int | None:
    """The length in characters to which texts are shortened so that all together take at most so many bytes; None when
    they fit whole."""
    sizes = np.sort([len(text.encode()) for text in texts])
    if sizes.sum() <= most_bytes:
        return None
    bytes_per_character = sizes.sum() / max(1, sum(map(len, texts)))
    shorter = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    available = (most_bytes - shorter) / np.arange(len(sizes), 0, -1)
    return max(MIN_LENGTH, int(available[sizes > available][0] / bytes_per_character))


def _shortened(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest:,} more characters)"
