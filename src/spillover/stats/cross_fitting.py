"""Items that several models scored, each its own part: cross-fitting (Chernozhukov et al. 2018).

Each model was tuned on the questions of the other parts. Hits can be averaged over all items. What relates items to
each other, a rank or a mean that is subtracted, is computed within each model's part and averaged over the parts,
weighted by their items: the scores of two models are on two scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillover.core.types import Floats, LabelScores
from spillover.stats.auroc import auroc_influence
from spillover.stats.calibration import log_odds


def area_and_influence(scores: LabelScores) -> tuple[float, Floats]:
    """(AUROC, influence [n]) as `auroc_influence` has them; of several models the mean of their areas, and each item's
    influence on its own model's. The variance of such a stratified mean is `sum(influence ** 2) / n ** 2` too."""
    values, parts = log_odds(scores.logprobs), scores.rows_by_model()
    if len(parts) == 1:
        return auroc_influence(values, scores.gold)
    area, influence = 0.0, np.empty(len(values))
    for rows in parts:
        of_part, influence[rows] = auroc_influence(values[rows], scores.gold[rows])
        area += of_part * len(rows) / len(values)
    return area, influence


def joined_parts(parts: Sequence[LabelScores], names: Sequence[str]) -> LabelScores:
    """The items of all parts, one language's, each with the name of the model that scored it. Calibration scores are a
    model's own, so there are none of the whole."""
    first, answer_bytes = parts[0], [part.answer_bytes for part in parts if part.answer_bytes is not None]
    outcomes = [part.outcome for part in parts if part.outcome is not None]
    return replace(
        first,
        example_ids=tuple(example_id for part in parts for example_id in part.example_ids),
        gold=np.concatenate([part.gold for part in parts]),
        logprobs=np.concatenate([part.logprobs for part in parts]),
        tokens=np.concatenate([part.tokens for part in parts]),
        label_tokens=np.concatenate([part.label_tokens for part in parts]),
        calibration=None,
        outcome=np.concatenate(outcomes) if outcomes else None,
        content=tuple(text for part in parts for text in part.content),
        answer_bytes=np.concatenate(answer_bytes) if answer_bytes else None,
        clusters=tuple(cluster for part in parts for cluster in part.clusters),
        scored_by=tuple(name for name, part in zip(names, parts, strict=True) for _ in part.example_ids),
    )
