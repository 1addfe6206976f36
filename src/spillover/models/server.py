"""The engine for models that servers hold: exact label log-probabilities by next-token reads.

1. Prompts are tokenised here and sent as token ids; labels share a tree, and items a prefix, as in the local engine.
2. Before the first item: five items are read in both ways on every server, and a sample is scored one at a time and
   many at a time, to count how often batching on the server changes an answer.
3. Items go to the servers one by one (`server_pool`), each stored when it is there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.core.errors import ConfigError
from spillover.core.types import Prompt, ScoredBatch
from spillover.models.batching import Plan, answer_table, check_lengths, make_plan, token_counts
from spillover.models.label_tokens import tokenize_prompts
from spillover.models.prompt_tokens import PromptTokens
from spillover.models.reads import answer_logprobs, is_whole, next_token_reads, whole_texts
from spillover.models.served_model import LOCAL, ServedModel

if TYPE_CHECKING:
    from spillover.models.chat import ChatTemplate
    from spillover.models.server_client import ServerClient

log = logging.getLogger(__name__)

CHECKED_ITEMS = 5
BATCHING_SAMPLE = 16
# Below this, a prefix costs less than the wait for it.
SHORTEST_PREFIX = 16


@dataclass
class ServerEngine:
    """Scores label words, or own answers, on servers. facts: for the manifest, once the first item was scored."""

    model: ServedModel
    batch_tokens: int = 4096
    prefix_first: bool = True
    chat: ChatTemplate | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    _rate: float = math.nan
    _prompt_tokens: PromptTokens = field(default_factory=PromptTokens)

    def plan(self, prompts: Sequence[Prompt]) -> Plan:
        """Tokens of prompts that are scored together; the same prompts give the same plan."""
        tokenized = tokenize_prompts(self.model.tokenizer, prompts, self.chat)
        check_lengths(prompts, tokenized, self.model.context)
        return make_plan(prompts, tokenized, self.batch_tokens, shared=True)

    def tokens_per_second(self, plan: Plan) -> float:
        """Computed tokens per second, of all servers together, over a sample of the first plan."""
        self._check(plan)
        return self._rate

    def score(self, plan: Plan, skip: frozenset[int] = frozenset(), *, states: bool = False) -> Iterator[ScoredBatch]:
        """Scores of every item of the plan whose number is not in `skip`, one item a batch, in the order in which they
        come. Log-probabilities as the local engine's.

        RunError when no server is left, ModelError when one gives what can be no score.
        """
        if states:
            raise ConfigError(f"{self.model.ref.name}: a server gives no hidden states", hint=LOCAL)
        self._check(plan)
        self.model.pool.take_prompt_tokens()
        # Longest first: a context that is too short is met at once.
        numbers = [number for batch in plan.batches for number in batch if number not in skip]
        try:
            self._send_prefix(plan, numbers)
            for number, logprobs in self._scored(plan, numbers):
                items = [plan.items[number]]
                yield ScoredBatch(
                    (number,),
                    answer_table([logprobs], plan.n_answers, -np.inf),
                    np.array([items[0].context], dtype=np.int32),
                    token_counts(plan, items),
                )
        finally:
            self._prompt_tokens += self.model.pool.take_prompt_tokens()
            self.facts["server tokens"] = asdict(self._prompt_tokens)

    def _scored(
        self, plan: Plan, numbers: Sequence[int], at_a_time: int | None = None
    ) -> Iterator[tuple[int, list[float]]]:
        return self.model.pool.run(
            numbers,
            lambda client, number: self._ask(client, plan, number),
            requests=lambda number: _requests(plan, number),
            at_a_time=at_a_time,
            per_server=1 if self._one_at_a_time(plan, numbers) else None,
        )

    def _one_at_a_time(self, plan: Plan, numbers: Sequence[int]) -> bool:
        """Whether a server must read one item at a time: whole texts where there are adapters. vLLM applies those of a
        batch's requests to the wrong tokens of a whole text, or ends with an error (its issues 16668 and 51594)."""
        whole = any(is_whole(plan, number) for number in numbers)
        return whole and any(client.has_adapters for client in self.model.pool.clients)

    def _ask(self, client: ServerClient, plan: Plan, number: int) -> list[float]:
        """The log-probability of each answer of an item."""
        ask = self._ask_whole if is_whole(plan, number) else self._ask_reads
        return ask(client, plan, number)

    def _ask_reads(self, client: ServerClient, plan: Plan, number: int) -> list[float]:
        found: dict[tuple[int, int], float] = {}
        for read in next_token_reads(plan, number):
            logprobs = client.next_token(self.model.served_name, read.prompt, read.tokens)
            found |= {(read.node, token): value for token, value in logprobs.items()}
        return answer_logprobs(plan.items[number], found)

    def _ask_whole(self, client: ServerClient, plan: Plan, number: int) -> list[float]:
        texts = whole_texts(plan, number)
        context = plan.items[number].context
        return [sum(client.whole_text(self.model.served_name, text)[context:]) for text in texts]

    def _send_prefix(self, plan: Plan, numbers: Sequence[int]) -> None:
        """Let every server compute the shared prefix before items ask for it: requests that start together cannot share
        what none has finished."""
        if self.prefix_first and len(plan.prefix) >= SHORTEST_PREFIX and len(numbers) > 1:
            token = plan.prefix[-1]
            self.model.pool.on_each(lambda client: client.next_token(self.model.served_name, plan.prefix, [token]))

    def _check(self, plan: Plan) -> None:
        """Once per engine: five items in both ways on every server, and what batching changes."""
        if self.facts or not plan.items:
            return
        from spillover.models.server_admission import agree, tolerance

        numbers = _spread(plan, CHECKED_ITEMS)
        within = tolerance(self.model.dtype)
        requests = sum(len(plan.items[i].labels) + len(next_token_reads(plan, i)) for i in numbers)

        def both_ways(client: ServerClient) -> None:
            for number in numbers:
                prompt, item = plan.prompts[number], plan.items[number]
                reads, whole = self._ask_reads(client, plan, number), self._ask_whole(client, plan, number)
                longest = max(map(len, item.labels))
                agree(client, f"{prompt.language} {prompt.example_id}", reads, whole, within * math.sqrt(longest))

        self.model.pool.on_each(both_ways, requests=requests)
        self.facts = {"engine": self.model.engine, "batching": self._batching(plan)}

    def _batching(self, plan: Plan) -> dict[str, Any]:
        """How many answers of a sample differ when it is scored one item at a time and many at a time."""
        numbers = _spread(plan, BATCHING_SAMPLE)
        self._send_prefix(plan, numbers)
        alone = dict(self._scored(plan, numbers, at_a_time=1))
        pool = self.model.pool
        at_once = len(pool.clients) if self._one_at_a_time(plan, numbers) else pool.in_flight
        in_flight = min(at_once, len(numbers))
        started = time.perf_counter()
        together = dict(self._scored(plan, numbers))
        self._rate = sum(map(plan.size, numbers)) / (time.perf_counter() - started)
        flips = sum(int(np.argmax(alone[i]) != np.argmax(together[i])) for i in numbers)
        worst = max(abs(a - b) for i in numbers for a, b in zip(alone[i], together[i], strict=True))
        log.log(
            logging.WARNING if flips else logging.INFO,
            "%s: %d of %d answers differ between 1 and %d requests at a time (log-probabilities by up to %.2g)",
            self.model.ref.name, flips, len(numbers), in_flight, worst,
        )  # fmt: skip
        worst = float(f"{worst:.2g}")
        return {"items": len(numbers), "in flight": in_flight, "flips": flips, "largest difference": worst}


def _requests(plan: Plan, number: int) -> int:
    return len(plan.items[number].labels) if is_whole(plan, number) else len(next_token_reads(plan, number))


def _spread(plan: Plan, most: int) -> list[int]:
    """The numbers of at most so many items, evenly spread."""
    count = min(most, len(plan.items))
    return [i * len(plan.items) // count for i in range(count)]
