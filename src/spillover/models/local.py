"""The reference engine: exact label log-probabilities and hidden states from a torch model.

1. Tokenise every prompt with every label; the shared prefix is the longest common token prefix of all of them.
2. Compute the prefix's keys and values once.
3. Sort the items by length, fill batches up to a token budget, and score all labels of an item in one pass.
4. Apply the unembedding only where a label token is predicted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from spillover.core.errors import DataError, ModelError
from spillover.core.types import Prompt, ScoredBatch
from spillover.models.attention import branch_rows, why_not_shared
from spillover.models.labels import TokenizedPrompt, common_prefix_length, tokenize_prompts
from spillover.models.load import Model

log = logging.getLogger(__name__)

HEAD_ROWS = 256
HEAD_SLICE = 1 << 14
# How far the two paths may part before the shared one is not trusted: float32 sums in another order, 16 bits round.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1.0, torch.float16: 0.25}


@contextmanager
def logits_at(module: Any, rows: torch.Tensor, columns: torch.Tensor, *, exact: bool = False) -> Iterator[None]:
    """Within the block, the model's logits are [n, vocab] at these positions alone; its own head, scaling and soft-cap
    are applied as ever. The unembedding is a fifth of a small model's work, and most positions do not need it.

    exact: the unembedding is multiplied in float32. A bfloat16 logit near 15 has steps of 1/16: labels would tie.
    """
    head = module.get_output_embeddings()

    def pick(_: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0][rows, columns], *arguments[1:])

    handles = [head.register_forward_pre_hook(pick)]
    if exact and type(head) is torch.nn.Linear and head.weight.dtype != torch.float32:
        handles.append(head.register_forward_hook(_float32_linear))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _float32_linear(head: torch.nn.Linear, arguments: tuple[torch.Tensor, ...], _: torch.Tensor) -> torch.Tensor:
    """A linear layer's output in float32, a slice of its rows at a time: the weights of a large vocabulary are not
    copied whole."""
    states = arguments[0].float()
    logits = torch.cat([states @ rows.float().T for rows in torch.split(head.weight, HEAD_SLICE)], dim=-1)
    return logits if head.bias is None else logits + head.bias.float()


@dataclass(frozen=True)
class Plan:
    """What will be computed: tokens, the prefix they share (0 when it is not used), and item numbers by batch."""

    tokenized: list[TokenizedPrompt]
    prefix: int
    batches: list[list[int]]

    def tokens(self, items: Sequence[int] | None = None) -> int:
        """Prompt tokens that are really computed for these items (all of them, when None): the prefix counts once."""
        chosen = range(len(self.tokenized)) if items is None else items
        return self.prefix + sum(len(self.tokenized[i].context) - self.prefix for i in chosen)


class LocalEngine:
    """Scores label words on one machine. `prefix_cache=False` computes every prompt whole: slow, and the reference."""

    def __init__(self, model: Model, *, batch_tokens: int = 4096, prefix_cache: bool = True) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.prefix_cache = prefix_cache
        self._trusted = False

    def plan(self, prompts: Sequence[Prompt]) -> Plan:
        """Tokens and batches for prompts that are scored together; the same prompts give the same plan."""
        tokenized = tokenize_prompts(self.model.tokenizer, prompts)
        lengths = [len(item.context) + max(map(len, item.labels)) - 1 for item in tokenized]
        for prompt, length in zip(prompts, lengths, strict=True):
            if length > self.model.context:
                raise DataError(
                    f"{prompt.language} {prompt.example_id}: the prompt has {length} tokens, "
                    f"the model's context is {self.model.context}",
                    hint="take a model with a longer context, or leave this item out",
                )
        shared = self._use_prefix(max(lengths, default=0))
        # One token of each context stays outside: its logits predict the labels.
        contexts = [item.context for item in tokenized]
        prefix = common_prefix_length([context[:-1] for context in contexts]) if shared and contexts else 0
        branch = sum if shared else max
        sizes = [
            len(item.context) - prefix + int(branch(len(label) - 1 for label in item.labels)) for item in tokenized
        ]
        copies = 1 if shared else max((len(item.labels) for item in tokenized), default=1)
        return Plan(tokenized, prefix, _batches(sizes, self.batch_tokens // copies))

    def _use_prefix(self, longest: int) -> bool:
        if not self.prefix_cache:
            return False
        reason = why_not_shared(self.model.module.config, longest)
        if reason:
            log.warning("%s is scored without a shared prefix: %s", self.model.ref.name, reason)
            self.prefix_cache = False
        return reason is None

    def score(self, prompts: Sequence[Prompt], skip: frozenset[int] = frozenset()) -> Iterator[tuple[int, ScoredBatch]]:
        """(batch number, its scores) for every batch that is not in `skip`.

        Log-probabilities are natural, ≤ 0, over the whole vocabulary, summed over all tokens of a label.
        ModelError names the items when the model answers NaN.
        """
        plan = self.plan(prompts)
        self._check_paths(plan)
        if self.prefix_cache != bool(plan.prefix):
            plan = self.plan(prompts)
        cache = self._prefix_cache(plan)
        for number, batch in enumerate(plan.batches):
            if number in skip:
                continue
            items = [plan.tokenized[i] for i in batch]
            logprobs = self._shared(items, plan.prefix, cache) if cache else self._plain(items)
            if not np.isfinite(logprobs).all():
                bad = [
                    prompts[i].example_id for i, row in zip(batch, logprobs, strict=True) if not np.isfinite(row).all()
                ]
                raise ModelError(
                    f"{self.model.ref.name} answers NaN for {prompts[0].language} items {', '.join(bad[:5])}",
                    hint="--dtype float32, or look at the weights",
                )
            yield (
                number,
                ScoredBatch(
                    tuple(batch),
                    logprobs,
                    np.array([len(item.context) for item in items], dtype=np.int32),
                    np.array([[len(label) for label in item.labels] for item in items], dtype=np.int32),
                ),
            )

    def last_states(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """(item numbers, [b, layers + 1, hidden] float32) by batch: the residual stream where the answer is predicted,
        after the embedding and after every block. transformers gives the last one already normed."""
        plan = self.plan(prompts)
        cache = self._prefix_cache(plan)
        for batch in plan.batches:
            bodies = [plan.tokenized[i].context[plan.prefix :] for i in batch]
            rows = torch.arange(len(batch), device=self.model.device)
            last = torch.tensor([len(body) - 1 for body in bodies], device=self.model.device)
            if cache:
                own = branch_rows(bodies, [[] for _ in bodies], plan.prefix, 0, self.model.device)
                inputs = {"input_ids": own.ids, "position_ids": own.positions, "attention_mask": own.visible}
                inputs["past_key_values"] = _expand(cache, len(batch))
            else:
                inputs = {"input_ids": _pad(bodies, self.model.device)}
            with torch.inference_mode(), logits_at(self.model.module, rows, last):
                output = self.model.module(**inputs, output_hidden_states=True, use_cache=bool(cache))
            states = torch.stack([layer[rows, last] for layer in output.hidden_states], dim=1)
            yield batch, states.float().cpu()

    def _check_paths(self, plan: Plan) -> None:
        """Once per engine: two items both ways. A model whose attention we misjudge is then scored the slow way, and
        said to be."""
        if self._trusted or not plan.prefix or not plan.batches:
            return
        items = [plan.tokenized[i] for i in plan.batches[0][:2]]
        shared = self._shared(items, plan.prefix, self._prefix_cache(plan))
        apart = float(np.abs(shared - self._plain(items)).max())
        self._trusted = True
        if not apart <= TOLERANCE[self.model.dtype] and np.isfinite(shared).all():
            log.warning(
                "%s is scored without a shared prefix: with it, scores differ by %.2g", self.model.ref.name, apart
            )
            self.prefix_cache = False

    def _prefix_cache(self, plan: Plan) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the shared prefix, [1, heads, prefix, head] per layer; empty when none is used."""
        if not plan.prefix:
            return []
        ids = torch.tensor([plan.tokenized[0].context[: plan.prefix]], device=self.model.device)
        nowhere = torch.zeros(0, dtype=torch.long, device=self.model.device)
        cache = DynamicCache()
        with torch.inference_mode(), logits_at(self.model.module, nowhere, nowhere):
            self.model.module(input_ids=ids, past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _shared(self, items: Sequence[TokenizedPrompt], prefix: int, cache: Any) -> NDArray[np.float32]:
        """[b, labels]: items after a cached prefix, all labels in one pass."""
        bodies = [item.context[prefix:] for item in items]
        batch = branch_rows(bodies, [item.labels for item in items], prefix, 0, self.model.device)
        rows: list[int] = []
        columns: list[int] = []
        targets: list[int] = []
        owners: list[int] = []
        for i, item in enumerate(items):
            for j, label in enumerate(item.labels):
                at = [batch.starts[i] - 1, *range(batch.branches[i][j], batch.branches[i][j] + len(label) - 1)]
                rows += [i] * len(at)
                columns += at
                targets += label
                owners += [i * len(item.labels) + j] * len(at)
        inputs = {"input_ids": batch.ids, "position_ids": batch.positions, "attention_mask": batch.visible}
        inputs["past_key_values"] = _expand(cache, len(items))
        return self._sum_logprobs(inputs, rows, columns, targets, owners, len(items))

    def _plain(self, items: Sequence[TokenizedPrompt]) -> NDArray[np.float32]:
        """[b, labels]: every prompt with every label as a whole text of its own."""
        texts = [[*item.context, *label] for item in items for label in item.labels]
        starts = [len(item.context) for item in items for _ in item.labels]
        rows: list[int] = []
        columns: list[int] = []
        targets: list[int] = []
        for i, (text, start) in enumerate(zip(texts, starts, strict=True)):
            rows += [i] * (len(text) - start)
            columns += range(start - 1, len(text) - 1)
            targets += text[start:]
        inputs = {"input_ids": _pad(texts, self.model.device), "use_cache": False}
        return self._sum_logprobs(inputs, rows, columns, targets, rows, len(items))

    def _sum_logprobs(
        self,
        inputs: dict[str, Any],
        rows: list[int],
        columns: list[int],
        targets: list[int],
        owners: list[int],
        items: int,
    ) -> NDArray[np.float32]:
        """[items, labels]: the log-probabilities of `targets`, predicted at (row, column), summed by owner."""
        device = self.model.device
        places = list(dict.fromkeys(zip(rows, columns, strict=True)))
        where = {place: n for n, place in enumerate(places)}
        picked = torch.tensor(places, device=device).T
        with torch.inference_mode(), logits_at(self.model.module, picked[0], picked[1], exact=True):
            logits = self.model.module(**inputs).logits
        if logits.shape[0] != len(places) or logits.dim() != 2:
            raise ModelError(
                f"{self.model.ref.name}: its output embedding is not used as a module", hint="report this model"
            )
        # In chunks: in float32, the logits of a whole batch over a large vocabulary would fill the memory.
        total = torch.cat([chunk.float().logsumexp(dim=-1) for chunk in logits.split(HEAD_ROWS)])
        at = torch.tensor([where[place] for place in zip(rows, columns, strict=True)], device=device)
        logprobs = logits[at, torch.tensor(targets, device=device)].float() - total[at]
        sums = torch.zeros(max(owners) + 1, device=device).index_add_(0, torch.tensor(owners, device=device), logprobs)
        return sums.reshape(items, -1).cpu().numpy()


def _batches(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Item numbers by batch, longest first, so that the largest batch is met first; one item at the least."""
    batches: list[list[int]] = []
    width = 0
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if batches and (len(batches[-1]) + 1) * width <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
            width = sizes[i]
    return batches


def _pad(rows: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """[b, t], padded on the right with token 0: what follows a text cannot change what a causal model says of it."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def _expand(cache: Sequence[tuple[torch.Tensor, torch.Tensor]], batch: int) -> DynamicCache:
    return DynamicCache([(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1)) for keys, values in cache])
