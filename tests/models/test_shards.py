"""Shards are whole batches: every item once, and with the bytes of one process."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spillover.models.local import LocalEngine
from spillover.models.shards import Shards
from tests.builders import prompts_of


@pytest.fixture(scope="module")
def plans(tiny):
    engine = LocalEngine(tiny, batch_tokens=40)
    return {name: engine.plan(prompts_of(n)) for name, n in (("short", 9), ("long", 16))}


def all_shards(shards, workers=2):
    """The shards that so many workers are given, each asking again as soon as the others did."""
    last = [None] * workers
    for worker in itertools.cycle(range(workers)):
        shard = shards.next(last[worker])
        if shard is None:
            return
        last[worker] = shard[0]
        yield worker, *shard


@pytest.mark.parametrize("batches", [1, 2, 50])
def test_every_batch_of_a_plan_is_in_one_shard(plans, batches):
    assert all(len(plan.batches) > 2 for plan in plans.values())
    given = {name: [] for name in plans}
    for _, name, numbers in all_shards(Shards(plans, {}, batches)):
        given[name].append(numbers)
    for name, plan in plans.items():
        assert [number for shard in given[name] for number in shard] == [i for batch in plan.batches for i in batch]
        ends = set(np.cumsum([len(batch) for batch in plan.batches]))
        assert set(np.cumsum([len(shard) for shard in given[name]])) <= ends, "a shard ends inside a batch"


def test_a_worker_stays_with_its_plan_and_helps_when_nothing_is_left_of_it(plans):
    given = [(worker, name) for worker, name, _ in all_shards(Shards(plans, {}))]
    assert given[:2] == [(0, "long"), (1, "short")]
    by_second = [name for worker, name in given if worker == 1]
    n_short = len(plans["short"].batches)
    assert by_second == ["short"] * n_short + ["long"] * (len(by_second) - n_short)
    assert len(by_second) > n_short


def test_what_is_scored_already_is_in_no_shard(plans):
    done = frozenset(i for batch in plans["long"].batches[1:] for i in batch)
    shards = Shards(plans, {"long": done, "short": frozenset(range(9))})
    assert shards.next() == ("long", plans["long"].batches[0])
    assert shards.next("long") is None


def test_two_engines_that_score_shards_in_any_order_give_the_bytes_of_one(tiny, plans):
    def scores(engine, plan, shards):
        out = np.full((len(plan.items), plan.n_answers), np.nan, dtype=np.float32)
        for numbers in shards:
            for batch in engine.score(plan, frozenset(range(len(plan.items))) - frozenset(numbers)):
                assert np.isnan(out[list(batch.index)]).all(), "an item came twice"
                out[list(batch.index)] = batch.logprobs
        return out

    plan = plans["long"]
    one = scores(LocalEngine(tiny, batch_tokens=40), plan, [range(len(plan.items))])
    shards = [numbers for _, name, numbers in all_shards(Shards({"long": plan}, {}))]
    first, second = (scores(LocalEngine(tiny, batch_tokens=40), plan, own) for own in (shards[::-2], shards[-2::-2]))
    assert one.tobytes() == np.where(np.isnan(first), second, first).tobytes()
