"""Reads of a label tree sum to what one forward pass per answer gives."""

from __future__ import annotations

import numpy as np
import torch

from spillover.core.types import Prompt
from spillover.models.batching import make_plan
from spillover.models.label_tokens import TokenizedPrompt
from spillover.models.local import LocalEngine
from spillover.models.reads import MAX_TOKENS, Read, answer_logprobs, is_whole, next_token_reads, whole_texts


def plan_of(*labels, context=(5, 6), text="asked"):
    prompt = Prompt("i", "en", "", text, tuple(map(str, labels)))
    return make_plan([prompt], [TokenizedPrompt(context, labels, False, 0)], 100, shared=True)


def test_one_read_for_each_inner_node():
    reads = next_token_reads(plan_of((1, 2, 3), (1, 2, 4), (9,)), 0)
    assert reads == [Read(-1, (5, 6), (1, 9)), Read(0, (5, 6, 1), (2,)), Read(1, (5, 6, 1, 2), (3, 4))]


def test_an_answer_that_begins_another_is_read_with_it():
    plan = plan_of((1,), (1, 2))
    assert next_token_reads(plan, 0) == [Read(-1, (5, 6), (1,)), Read(0, (5, 6, 1), (2,))]
    assert answer_logprobs(plan.items[0], {(-1, 1): -0.5, (0, 2): -2.0}) == [-0.5, -2.5]


def test_more_tokens_than_a_request_may_name_are_asked_for_in_several():
    plan = plan_of(*((token,) for token in range(MAX_TOKENS + 2)))
    reads = next_token_reads(plan, 0)
    assert [len(read.tokens) for read in reads] == [MAX_TOKENS, 2]
    assert {read.node for read in reads} == {-1}


def test_whole_texts_are_the_prompt_with_each_answer():
    plan = plan_of((1, 2), (3,), text="")
    assert whole_texts(plan, 0) == [(5, 6, 1, 2), (5, 6, 3)]
    assert is_whole(plan, 0)
    assert not is_whole(plan_of((1,)), 0)


def test_reads_sum_to_the_scores_of_the_local_engine(tiny, demo_prompts):
    engine = LocalEngine(tiny)
    plan = engine.plan(demo_prompts("sentiment", "de", "native", 2))
    expected = {i: row for batch in engine.score(plan) for i, row in zip(batch.index, batch.logprobs, strict=True)}
    for number, item in enumerate(plan.items):
        found = {}
        for read in next_token_reads(plan, number):
            with torch.no_grad():
                logits = tiny.module(torch.tensor([read.prompt])).logits[0, -1]
            found |= {(read.node, token): float(logits.log_softmax(-1)[token]) for token in read.tokens}
        np.testing.assert_allclose(answer_logprobs(item, found), expected[number], atol=1e-4)
