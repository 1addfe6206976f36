"""The reference engine: exact label log-probabilities and hidden states from a torch model.

1. Tokenise every prompt with every label; the shared prefix is the longest common token prefix of all of them.
2. Compute the prefix's keys and values once.
3. Sort the items by length, fill batches up to a token budget, and score all labels of an item in one pass; on a
   processor, a batch on each core.
4. Apply the unembedding only where a label token is predicted.
"""

from __future__ import annotations

import copy
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ModelError
from spillover.core.types import Prompt, ScoredBatch, States
from spillover.models import neuron_activations
from spillover.models.batching import Item, Plan, answer_table, check_lengths, make_plan, pack, token_counts
from spillover.models.chat import ChatTemplate, open_chat
from spillover.models.fast import prefix_attention
from spillover.models.fast.malloc import keep_freed_memory
from spillover.models.fast.prefix_attention import Sharing, sharing
from spillover.models.fast.segments import Segment, UnsupportedAttention
from spillover.models.fast.unembedding import logits_at
from spillover.models.fast.workers import worker_count, worker_pool
from spillover.models.hidden_states import Pooling, PrefixSums, pooling, residuals
from spillover.models.label_tokens import paper_rule_tokens, tokenize_prompts
from spillover.models.load import Model, share_weights
from spillover.models.loading_checks import check_token_ids
from spillover.models.steering import packed_positions, steered, steered_prefix, whole_positions

log = logging.getLogger(__name__)

HEAD_ROWS = 256
MEASURED_TOKENS = 1024
# How far the two paths may differ before the shared one is not trusted: float32 sums in another order, 16 bits round.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1.0, torch.float16: 0.25}

KeysValues = dict[int, tuple[Tensor, Tensor]]
PrefixKey = tuple[tuple[int, ...], tuple[str, str] | None]
"""The tokens of a prefix, and the intervention (by its key) and language that change it; None where nothing does."""
Prefix = tuple[KeysValues, PrefixSums | None]
"""What is kept of a shared prefix: keys and values, and the sums of its hidden states where they were asked for."""


class LocalEngine:
    """Scores label words, or own answers, on one machine. `prefix_cache=False` computes every prompt whole: slow,
    and the reference.

    rule: "exact", the log-probability of the whole label word, or "paper" (see `label_tokens.paper_rule_tokens`).
    chat: the model's chat template, None for prompts as plain text. intervention: the model's; another one may take its
    place between two plans, and a shared prefix that neither of them changes is not computed again. kept_prefixes: how
    many shared prefixes stay in memory, those used last.
    """

    def __init__(
        self,
        model: Model,
        *,
        batch_tokens: int = 4096,
        prefix_cache: bool = True,
        rule: str = "exact",
        chat: ChatTemplate | None = None,
        kept_prefixes: int = 1,
    ) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.prefix_cache = prefix_cache
        self.rule = rule
        self.chat = chat
        self.intervention = model.intervention
        if model.device.type == "cpu":
            keep_freed_memory()
        self.facts: dict[str, Any] = {}
        self._trusted = False
        self._kept_prefixes = kept_prefixes
        self._prefixes: OrderedDict[PrefixKey, Prefix] = OrderedDict()
        self._paper_tokens: dict[tuple[str, ...], list[list[int]]] = {}
        self._workers: list[LocalEngine] = [self]

    def plan(self, prompts: Sequence[Prompt]) -> Plan:
        """Tokens and batches for prompts that are scored together; the same prompts give the same plan. They are of one
        language where the model is steered; ModelError where the intervention does not know it."""
        if self.intervention and prompts:
            (language,) = {prompt.language for prompt in prompts}
            self.intervention.changes(language)
        tokenized = tokenize_prompts(self.model.tokenizer, prompts, self.chat)
        check_lengths(prompts, tokenized, self.model.context)
        ids = (max((*item.context, *(token for label in item.labels for token in label))) for item in tokenized)
        check_token_ids(self.model.ref.name, ids, self.model.embeddings)
        if self.prefix_cache and (reason := prefix_attention.unsupported_reason(self.model.module)):
            self._give_up_sharing(reason)
        at_once = worker_count(self.model.module, self.model.device)
        return make_plan(prompts, tokenized, self.batch_tokens, shared=self.prefix_cache, at_once=at_once)

    def tokens_per_second(self, plan: Plan) -> float:
        """Computed tokens per second on small batches of the plan, after a pass to warm up. NaN for an empty plan."""
        self._check_paths(plan)
        if not plan.batches:
            return float("nan")
        at_once = worker_count(self.model.module, self.model.device)
        batches = [self._beginning(plan, batch, MEASURED_TOKENS // at_once) for batch in plan.batches[:at_once]]
        list(self._score_batches(plan, batches))
        started = time.perf_counter()
        list(self._score_batches(plan, batches))
        return sum(plan.size(i) for batch in batches for i in batch) / (time.perf_counter() - started)

    def _beginning(self, plan: Plan, batch: Sequence[int], tokens: int) -> tuple[int, ...]:
        """The first items of a batch, about so many tokens; one item at the least."""
        sizes = np.cumsum([plan.size(i) for i in batch])
        return tuple(batch[: max(1, int(np.searchsorted(sizes, tokens)))])

    def score(self, plan: Plan, skip: frozenset[int] = frozenset(), *, states: bool = False) -> Iterator[ScoredBatch]:
        """Scores by batch, for every item of the plan whose number is not in `skip`; with `states`, also the hidden
        states of the same pass.

        Log-probabilities are natural, ≤ 0, over the whole vocabulary, summed over all tokens of a label. A batch that
        does not fit into memory is halved, and so are all after it. ModelError names the items whose scores are
        non-finite, or when one item alone does not fit.
        """
        self._check_paths(plan)
        queue = deque(rest for batch in plan.batches if (rest := tuple(i for i in batch if i not in skip)))
        while queue:
            try:
                for scored in self._score_batches(plan, tuple(queue), states=states):
                    self._check_finite(plan, scored)
                    queue.popleft()
                    yield scored
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                queue = deque(self._halve(queue))

    def _score_batches(
        self, plan: Plan, batches: Sequence[Sequence[int]], *, states: bool = False
    ) -> Iterator[ScoredBatch]:
        """The batches' scores in their order; several batches at a time on a processor. With `states` one at a time:
        whoever wants them computes more from each batch, and needs the cores for that."""
        # By the plan, not by what a resumed run has left: as many threads compute a batch then, to the same bytes.
        at_once = 1 if states else min(worker_count(self.model.module, self.model.device), len(plan.batches))
        if at_once == 1:
            for batch in batches:
                yield self._score(plan, batch, states=states)
            return
        idle: SimpleQueue[LocalEngine] = SimpleQueue()
        for engine in self._copies(plan, at_once):
            idle.put(engine)

        def score(batch: Sequence[int]) -> ScoredBatch:
            engine = idle.get()
            try:
                return engine._score(plan, batch)
            finally:
                idle.put(engine)

        with worker_pool(at_once) as pool:
            for future in [pool.submit(score, batch) for batch in batches]:
                yield future.result()

    def _copies(self, plan: Plan, number: int) -> list[LocalEngine]:
        """This engine and copies of it, with modules of their own over the same weights and the same prefix."""
        if plan.shared and self.prefix_cache:
            self._prefix_of(plan)
        while len(self._workers) < number:
            self._workers.append(copy.copy(self))
            self._workers[-1].model = replace(self.model, module=share_weights(self.model.module))
        for engine in self._workers:
            engine.prefix_cache, engine.intervention = self.prefix_cache, self.intervention
        return self._workers[:number]

    def _check_finite(self, plan: Plan, scored: ScoredBatch) -> None:
        # -inf where an item has no such answer.
        finite = np.isfinite(scored.logprobs) | (scored.label_tokens == 0)
        if not finite.all():
            bad = [i for i, row in zip(scored.index, finite, strict=True) if not row.all()]
            ids = ", ".join(plan.prompts[i].example_id for i in bad[:5])
            raise ModelError(
                f"{self.model.ref.name}: non-finite scores for {plan.prompts[0].language} items {ids}",
                hint="--dtype float32, or check the weights",
            )

    def _halve(self, batches: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """Every batch in two, after the first did not fit."""
        if len(batches[0]) == 1:
            raise ModelError(
                f"out of memory with {self.model.ref.name} on one item alone",
                hint="a smaller model, --dtype bfloat16, or a machine with more memory",
            )
        self.batch_tokens //= 2
        log.warning("out of memory: continuing with %d tokens a batch", self.batch_tokens)
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        for batch in batches:
            half = (len(batch) + 1) // 2
            yield from filter(None, (batch[:half], batch[half:]))

    def _give_up_sharing(self, reason: str) -> None:
        log.warning("%s is scored without a shared prefix: %s", self.model.ref.name, reason)
        self.prefix_cache = False

    def _check_paths(self, plan: Plan) -> None:
        """Once per engine: score two items both ways. Where they differ, the model is scored the slow way, with a
        warning."""
        if not self._trusted and plan.shared and self.prefix_cache and plan.batches:
            items = [plan.items[i] for i in plan.batches[0][:2]]
            try:
                shared, _ = self._forward_shared(plan, items)
                there = token_counts(plan, items) > 0
                shared, whole = shared[there], self._forward_whole(plan, items)[0][there]
                difference = float(np.abs(shared - whole).max())
                if not difference <= TOLERANCE[self.model.dtype] and np.isfinite(shared).all():
                    self._give_up_sharing(f"with it, scores differ by {difference:.2g}")
            except UnsupportedAttention as error:
                self._give_up_sharing(str(error))
            self._trusted = True

    def _score(self, plan: Plan, batch: Sequence[int], *, states: bool = False) -> ScoredBatch:
        items = [plan.items[i] for i in batch]
        forward = self._forward_shared if plan.shared and self.prefix_cache else self._forward_whole
        logprobs, hidden_states = forward(plan, items, states=states)
        return ScoredBatch(
            tuple(batch),
            logprobs,
            np.array([item.context for item in items], dtype=np.int32),
            token_counts(plan, items),
            hidden_states,
        )

    def _prefix_of(self, plan: Plan, *, states: bool = False) -> Prefix:
        """Keys and values of the shared prefix by layer, each [1, kv heads, prefix, head]; kept, see `kept_prefixes`.
        With `states`, also the sums of its hidden states, in the same pass."""
        if not plan.prefix:
            return {}, None
        key, changed = self._prefix_key(plan)
        kept = self._prefixes.get(key)
        if kept is None or (states and kept[1] is None):
            # Before the new one is computed: both need not fit into memory.
            self._prefixes.pop(key, None)
            while len(self._prefixes) >= self._kept_prefixes:
                self._prefixes.popitem(last=False)
            kept = self._compute_prefix(plan, changed, states)
            self._prefixes[key] = kept
        self._prefixes.move_to_end(key)
        return kept

    def _compute_prefix(self, plan: Plan, changed: Sequence[int], states: bool) -> Prefix:
        device = self.model.device
        ids = torch.tensor([plan.prefix], device=device)
        positions = torch.arange(len(plan.prefix), device=device)
        segment = Segment(0, 1, len(plan.prefix))
        current = Sharing((segment,), positions, kept={})
        nowhere = torch.zeros(0, dtype=torch.long, device=device)
        sums = PrefixSums() if states else None
        summed = residuals(self.model.module, sums) if sums else nullcontext()
        with (
            torch.inference_mode(),
            sharing(self.model.module, current),
            logits_at(self.model.module, nowhere),
            self._steered(plan, changed),
            summed,
        ):
            self.model.module(input_ids=ids, position_ids=positions.unsqueeze(0), use_cache=False)
        n_layers = len(current.kept or {})
        if n_layers != self.model.layers:
            raise UnsupportedAttention(f"{n_layers} of its {self.model.layers} layers call their attention by name")
        return current.kept or {}, sums

    def _prefix_key(self, plan: Plan) -> tuple[PrefixKey, range]:
        """(what the shared prefix's keys and values depend on, its positions that an intervention changes)."""
        language = plan.prompts[0].language
        if self.intervention is None or not self.intervention.changes(language):
            return (plan.prefix, None), range(0)
        changed = steered_prefix(self.intervention, plan)
        return (plan.prefix, (self.intervention.key, language) if changed else None), changed

    def _steered(self, plan: Plan, positions: Sequence[int]) -> AbstractContextManager[None]:
        """The context of a pass over prompts of the plan that the intervention changes at these positions."""
        changes = self.intervention.changes(plan.prompts[0].language) if self.intervention else {}
        if self.intervention is None or not changes or not positions:
            return nullcontext()
        at = torch.tensor(positions, device=self.model.device)
        return steered(self.model.module, self.intervention, changes, at)

    def _forward_shared(
        self, plan: Plan, items: Sequence[Item], *, states: bool = False
    ) -> tuple[NDArray[np.float32], States | None]:
        """[b, labels]: items after the cached prefix, all labels in one pass."""
        prefix, prefix_sums = self._prefix_of(plan, states=states)
        row = pack(items, len(plan.prefix), self.model.device)
        positions = [
            [[end if node < 0 else first + node for node in path] for path in item.tree.paths]
            for item, end, first in zip(items, row.ends, row.nodes, strict=True)
        ]
        inputs = {"input_ids": row.ids, "position_ids": row.positions, "use_cache": False}
        with sharing(self.model.module, Sharing(row.segments, row.positions[0], prefix)):
            widths = [len(item.body) for item in items]
            pool = pooling(items, positions, widths, prefix_sums) if states else None
            changed = packed_positions(self.intervention, items, row.ends, row.nodes) if self.intervention else []
            with self._steered(plan, changed):
                return self._read(inputs, items, positions, pool, plan.n_answers)

    def _forward_whole(
        self, plan: Plan, items: Sequence[Item], *, states: bool = False
    ) -> tuple[NDArray[np.float32], States | None]:
        """[b, labels]: every prompt with every label as a whole text of its own."""
        contexts = [(*plan.prefix, *item.body) for item in items]
        texts = [(*context, *label) for context, item in zip(contexts, items, strict=True) for label in item.labels]
        width = max(map(len, texts))
        # Padded on the right: what follows a text cannot change what a causal model says of it.
        ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=self.model.device)
        starts = iter(range(0, len(texts) * width, width))
        positions = [
            [[start + item.context - 1 + k for k in range(len(label))] for label, start in zip(item.labels, starts)]  # noqa: B905
            for item in items
        ]
        pool = pooling(items, positions, [item.context for item in items], None) if states else None
        changed = whole_positions(self.intervention, items, width) if self.intervention else []
        with self._steered(plan, changed):
            return self._read({"input_ids": ids, "use_cache": False}, items, positions, pool, plan.n_answers)

    def _read(
        self,
        inputs: dict[str, Any],
        items: Sequence[Item],
        positions: Sequence[Sequence[Sequence[int]]],
        pool: Pooling | None,
        n_answers: int,
    ) -> tuple[NDArray[np.float32], States | None]:
        """([b, n_answers], hidden states) of one forward pass, with -inf beyond an item's own answers. positions: per
        item and label, those, counted over the whole batch, whose logits predict the label's tokens. pool: what to read
        of its hidden states."""
        needed = sorted({position for labels in positions for path in labels for position in path})
        at = torch.tensor(needed, device=self.model.device)
        module = self.model.module
        pooled = residuals(module, pool) if pool else nullcontext()
        has_neurons = pool is not None and neuron_activations.unsupported_reason(module) is None
        counted = neuron_activations.firing(module, pool.bodies) if pool and has_neurons else nullcontext()
        with torch.inference_mode(), logits_at(module, at, exact=True), pooled, counted as neurons:
            output = module(**inputs)
        if output.logits.dim() != 2 or len(output.logits) != len(needed):
            raise ModelError(
                f"{self.model.ref.name}: its output embedding is not used as a module", hint="report this model"
            )
        row_of = {position: row for row, position in enumerate(needed)}
        rows = [[[row_of[position] for position in path] for path in labels] for labels in positions]
        read = self._paper_logprobs if self.rule == "paper" else _exact_logprobs
        states = pool.states(self.model.layers) if pool else None
        if states and neurons:
            states = replace(states, active=neurons.counts())
        return answer_table(read(output.logits, items, rows), n_answers, -np.inf), states

    def _paper_logprobs(
        self, logits: Tensor, items: Sequence[Item], rows: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """By item and label by the paper's rule, from the position before the label alone."""
        scores = []
        for item, item_rows in zip(items, rows, strict=True):
            if item.answers not in self._paper_tokens:
                self._paper_tokens[item.answers] = paper_rule_tokens(self.model.token_bytes, item.answers)
            logprobs = logits[item_rows[0][0]].float().log_softmax(dim=-1)
            labels = [logprobs[ids].logsumexp(dim=0) for ids in self._paper_tokens[item.answers]]
            scores.append(torch.stack(labels).tolist())
        return scores


def open_local_engine(model: Model, config: EvaluateConfig) -> LocalEngine:
    """An engine for a loaded model: its token budget, prefix cache, label rule and chat form are those of `config`.
    Errors as `open_chat`."""
    return LocalEngine(
        model,
        batch_tokens=config.batch_tokens,
        prefix_cache=config.prefix_cache,
        rule=config.rule,
        chat=open_chat(model, config),
    )


def _exact_logprobs(
    logits: Tensor, items: Sequence[Item], rows: Sequence[Sequence[Sequence[int]]]
) -> list[list[float]]:
    """By item and label: the log-probabilities of the label's tokens, predicted at `rows` of the logits, summed."""
    device = logits.device
    # In chunks: in float32, the logits of a whole batch over a large vocabulary would fill the memory.
    total = torch.cat([chunk.float().logsumexp(dim=-1) for chunk in torch.split(logits, HEAD_ROWS)])
    at = torch.tensor([row for item_rows in rows for path in item_rows for row in path], device=device)
    targets = torch.tensor([token for item in items for label in item.labels for token in label], device=device)
    lengths = torch.tensor([len(label) for item in items for label in item.labels], device=device)
    owners = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
    logprobs = logits[at, targets].float() - total[at]
    sums = torch.zeros(len(lengths), device=device).index_add_(0, owners, logprobs)
    by_answer = iter(sums.tolist())
    return [[next(by_answer) for _ in item.labels] for item in items]


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out: CUDA has its own type, the CPU's allocator a message."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
