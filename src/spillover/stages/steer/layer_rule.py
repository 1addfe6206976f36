"""Layers by a rule fixed beforehand: where sentences find their translation best, on text that is not scored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spillover.core.types import Floats
from spillover.models.sentence_states import SentenceStates
from spillover.stats.similarity import cosines, mexa_hits

# A layer retrieves well when it finds at least this share of what the best one finds.
NEARLY_BEST = 0.95


def retrieval_by_layer(states: Mapping[str, SentenceStates], reference: str) -> Floats:
    """[layers + 1], in [0, 1]: the share of sentences that are nearest to their own translation in the reference
    language, both ways (MEXA's criterion), averaged over the other languages."""
    target = np.swapaxes(states[reference].means, 0, 1)
    shares = [
        mexa_hits(cosines(np.swapaxes(own.means, 0, 1), target)).mean(axis=-1)
        for code, own in states.items()
        if code != reference
    ]
    return np.asarray(np.mean(shares, axis=0))


def layers_by_rule(retrieval: Floats, n_layers: int) -> tuple[int, ...]:
    """One layer: the inner one with the best retrieval, the first of several. Two: the first inner layer that is nearly
    as good as the best, and the one behind the last of these, so that the blocks between them read shared states.

    Inner layers are all but the embedding and the last hidden state, which are near words, not sentences. retrieval:
    [layers + 1] of a model of at least two blocks.
    """
    inner = retrieval[1:-1]
    if n_layers == 1:
        return (1 + int(np.argmax(inner)),)
    good = 1 + np.flatnonzero(inner >= NEARLY_BEST * inner.max())
    return int(good[0]), int(good[-1]) + 1
