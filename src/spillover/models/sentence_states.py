"""Hidden states of bare sentences, pooled over their tokens: what interventions are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spillover.core.errors import DataError
from spillover.core.types import Progress, no_progress
from spillover.models.batching import fill_batches
from spillover.models.hidden_states import residuals
from spillover.models.load import Model
from spillover.models.loading_checks import check_token_ids

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class SentenceStates:
    """Of n sentences in one language. means: [n, layers + 1, hidden] float32, each sentence's mean over its tokens but
    the first; layers as in `steering`. tokens: [n] how many tokens each mean is of.

    The first token is left out, be it the begin token or a word: most models give it one huge state whatever it is (an
    attention sink), and a mean with it would measure one over the sentence's length.
    """

    means: NDArray[np.float32]
    tokens: NDArray[np.int64]

    def take(self, rows: NDArray[np.integer]) -> SentenceStates:
        """The sentences of these rows, in this order."""
        return SentenceStates(self.means[rows], self.tokens[rows])


@dataclass
class _Means:
    """Pools each layer of padded texts. counts: [b] tokens of each; width: of all, with padding."""

    counts: Tensor
    width: int
    layers: list[Tensor] = field(default_factory=list)

    def __call__(self, states: Tensor) -> None:
        texts = states.view(len(self.counts), self.width, -1).float()
        places, counts = torch.arange(self.width, device=texts.device), self.counts.to(texts.device)
        pooled = (places > 0) & (places < counts[:, None])
        total = torch.where(pooled[..., None], texts, 0.0).sum(dim=1)
        self.layers.append((total / (counts - 1)[:, None]).cpu())


def sentence_states(
    model: Model, texts: Sequence[str], *, where: str = "text", progress: Progress = no_progress
) -> SentenceStates:
    """The states of each text, alone, as the tokenizer begins it; an intervention of the model is not applied. where:
    what the texts are, for messages. DataError for a text of one token, or of more than the model's context."""
    rows = model.tokenizer(list(texts))["input_ids"]
    for text, ids in zip(texts, rows, strict=True):
        if not 1 < len(ids) <= model.context:
            raise DataError(
                f"{where}: {text[:60]!r} has {len(ids)} tokens", hint=f"give sentences of 2 to {model.context} tokens"
            )
    check_token_ids(model.ref.name, map(max, rows), model.embeddings)
    means = np.empty((len(rows), model.layers + 1, model.hidden), dtype=np.float32)
    done = 0
    for batch in fill_batches([len(ids) for ids in rows], BATCH_TOKENS):
        width = max(len(rows[i]) for i in batch)
        # Padded on the right: what follows a text cannot change what a causal model says of it.
        ids = torch.tensor([[*rows[i], *[0] * (width - len(rows[i]))] for i in batch], device=model.device)
        pool = _Means(torch.tensor([len(rows[i]) for i in batch]), width)
        with torch.inference_mode(), residuals(model.module, pool):
            model.module.get_decoder()(input_ids=ids, use_cache=False)
        means[batch] = torch.stack(pool.layers, dim=1).numpy()
        done += len(batch)
        progress(where, done, len(rows))
    return SentenceStates(means, np.array([len(ids) - 1 for ids in rows]))
