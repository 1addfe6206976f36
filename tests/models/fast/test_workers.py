"""Batches side by side: the same scores, whatever the number of threads, and the model is left as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from spillover.core.errors import ModelError
from spillover.models.fast.workers import MOST_WORKERS, worker_count, worker_pool
from spillover.models.load import share_weights
from spillover.models.local import LocalEngine
from tests.builders import make_model


@pytest.fixture
def cores():
    """Sets the number of cores that torch takes; the test's own number is back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def scored(model, prompts, **options):
    engine = LocalEngine(model, **options)
    plan = engine.plan(prompts)
    batches = list(engine.score(plan))
    assert [batch.index for batch in batches] == list(plan.batches)
    rows = np.concatenate([batch.logprobs for batch in batches])
    return rows[np.argsort(np.concatenate([batch.index for batch in batches]))], len(batches)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt_neox"])
@pytest.mark.parametrize("prefix_cache", [True, False])
def test_scores_are_the_same_with_one_core_and_with_three(family, prefix_cache, demo_prompts, cores):
    model, prompts = make_model(family=family), demo_prompts("sentiment", "th", "native")
    cores(1)
    alone, _ = scored(model, prompts, prefix_cache=prefix_cache)
    cores(3)
    together, batches = scored(model, prompts, prefix_cache=prefix_cache)
    assert batches >= 3
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert torch.get_num_threads() == 3


def test_an_adapter_is_computed_by_every_worker(demo_prompts, cores):
    model, prompts = make_model(), demo_prompts("sentiment", "th", "native")
    cores(3)
    base, _ = scored(model, prompts)
    torch.manual_seed(0)
    lora = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    tuned = replace(model, module=get_peft_model(model.module, lora).eval())
    together, _ = scored(tuned, prompts)
    cores(1)
    alone, _ = scored(tuned, prompts)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert (np.abs(together - base) > 1e-3).any(axis=1).all()


def test_a_workers_error_reaches_the_caller(tiny, demo_prompts, cores, monkeypatch):
    cores(3)
    engine = LocalEngine(tiny)
    plan = engine.plan(demo_prompts("sentiment", "th"))
    score = LocalEngine._score

    def breaks(self, plan, batch, **options):
        if batch == plan.batches[-1]:
            raise ModelError("the last batch")
        return score(self, plan, batch, **options)

    monkeypatch.setattr(LocalEngine, "_score", breaks)
    with pytest.raises(ModelError, match="the last batch"):
        list(engine.score(plan))
    assert torch.get_num_threads() == 3


def test_a_copy_shares_every_weight_and_no_hook():
    module = make_model().module
    copied = share_weights(module)
    pairs = zip(module.parameters(), copied.parameters(), strict=True)
    assert all(one is other for one, other in pairs)
    module.lm_head.register_forward_pre_hook(lambda *_: None)
    assert not copied.lm_head._forward_pre_hooks
    copied.set_attn_implementation("eager")
    assert module.config._attn_implementation != "eager"


def test_a_worker_on_each_core_up_to_a_few(tiny, cores):
    cpu = torch.device("cpu")
    for number in (1, 2, 64):
        cores(number)
        assert worker_count(tiny.module, cpu) == min(number, MOST_WORKERS)
    assert worker_count(tiny.module, torch.device("cuda")) == 1


def test_workers_share_the_cores_and_give_them_back(cores):
    cores(4)
    with worker_pool(2) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2
    assert torch.get_num_threads() == 4
