"""Scores by a server are those of the local engine; what cannot give them is refused; nothing is lost or scored twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, RunError
from spillover.models.engine import open_engine
from spillover.models.load import load_model
from spillover.models.local import LocalEngine
from spillover.models.served_model import open_served_model
from tests.builders import make_model, prompts_of
from tests.models.fake_server import BLOCK, FakeServer, serving
from tests.models.test_own_answers import kind_prompts

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
EXACT = 1e-5


def opened(urls, tokenizer, name="tiny", **options):
    return open_served_model(name, urls, tokenizer=tokenizer, **{"backoff": 0.01, "dtype": "float32"} | options)


def scores(engine, prompts):
    plan = engine.plan(prompts)
    out = np.full((len(prompts), plan.n_answers), np.nan)
    for batch in engine.score(plan):
        assert np.isnan(out[list(batch.index)]).all(), "an item came twice"
        out[list(batch.index)] = batch.logprobs
    return out


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3", "gpt_neox"])
def test_scores_by_a_server_are_the_local_ones(family, demo_prompts, tokenizer_folder):
    model = make_model(family=family)
    prompts = demo_prompts("sentiment", "de", "native", 2)
    with serving(FakeServer({"tiny": model})) as urls:
        found = scores(open_engine(opened(urls, tokenizer_folder)), prompts)
    np.testing.assert_allclose(found, scores(LocalEngine(model), prompts), atol=EXACT)


@pytest.mark.parametrize("kind", ["byte-fallback", "whole-words"])
def test_scores_with_any_tokenizer_are_the_local_ones(kind, demo_prompts, tmp_path):
    model = make_model(kind)
    model.tokenizer.save_pretrained(tmp_path)
    prompts = demo_prompts("sentiment", "en", limit=2)
    with serving(FakeServer({"tiny": model})) as urls:
        found = scores(open_engine(opened(urls, str(tmp_path))), prompts)
    np.testing.assert_allclose(found, scores(LocalEngine(model), prompts), atol=EXACT)


@pytest.mark.parametrize("task", ["reading", "agreement"])
def test_choices_and_pairs_are_the_local_ones(task, tiny, tokenizer_folder):
    prompts = kind_prompts(task)[1][:3]
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        found = scores(open_engine(opened(urls, tokenizer_folder)), prompts)
    # Whole texts sum to hundreds of nats: a part in a million is a float32's last digits.
    np.testing.assert_allclose(found, scores(LocalEngine(tiny), prompts), atol=EXACT)


def test_prompts_are_sent_as_token_ids_with_sampling_off(tiny, tokenizer_folder):
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        engine = open_engine(opened(urls, tokenizer_folder))
        plan = engine.plan(prompts_of(6))
        engine.tokens_per_second(plan)
        fake.completions.clear()
        list(engine.score(plan))
    sent = fake.completions
    assert tuple(sent[0]["prompt"]) == plan.prefix, "the prefix comes first, alone"
    assert all(isinstance(token, int) for body in sent for token in body["prompt"])
    assert {body["temperature"] for body in sent} == {0}
    assert all(body["return_tokens_as_token_ids"] and body["logprob_token_ids"] for body in sent)
    reads = [len({-1, *range(len(item.tree.tokens))}) for item in plan.items]
    assert len(sent) == 1 + sum(reads), "one request for each inner node"


def test_an_adapter_is_a_name_on_the_same_server(tiny, tokenizer_folder):
    tuned = replace(make_model(seed=1), tokenizer=tiny.tokenizer)
    fake = FakeServer({"tiny": tiny, "es-de": tuned}, parents={"es-de": "tiny"})
    prompts = prompts_of(4)
    with serving(fake) as urls:
        base, adapted = (opened(urls, tokenizer_folder, adapter=adapter) for adapter in (None, "es-de"))
        np.testing.assert_allclose(scores(open_engine(base), prompts), scores(LocalEngine(tiny), prompts), atol=EXACT)
        np.testing.assert_allclose(
            scores(open_engine(adapted), prompts), scores(LocalEngine(tuned), prompts), atol=EXACT
        )
    assert base.engine == adapted.engine
    assert base.ref.fingerprint != adapted.ref.fingerprint
    assert adapted.ref.adapter == "es-de"


def test_a_context_that_is_too_short_is_named(tiny, tokenizer_folder):
    from spillover.core.errors import DataError

    with serving(FakeServer({"tiny": tiny}, max_model_len=220)) as urls:
        engine = open_engine(opened(urls, tokenizer_folder))
        with pytest.raises(DataError, match="the model's context is 218"):
            engine.plan(prompts_of(250))


def test_overload_and_failures_are_retried(tiny, tokenizer_folder):
    prompts = prompts_of(12)
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        engine = open_engine(opened(urls, tokenizer_folder))
        engine.tokens_per_second(engine.plan(prompts))
        for fault in ("429", "500"):
            fake.faults, fake.fails, fake.fails_from = {fault}, 3, len(fake.completions) + 5
            np.testing.assert_allclose(scores(engine, prompts), scores(LocalEngine(tiny), prompts), atol=EXACT)
            assert fake.fails == 0


@pytest.mark.parametrize("fault", ["slow", "drips"])
def test_an_answer_that_does_not_end_is_given_up(fault, tiny, tokenizer_folder):
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        model = opened(urls, tokenizer_folder)
        engine = open_engine(model)
        plan = engine.plan(prompts_of(2))
        engine.tokens_per_second(plan)
        fake.faults, fake.seconds = ({"drips"}, 0.0) if fault == "drips" else (set(), 5.0)
        model.pool.timeout, model.pool.retries = 0.05, 0
        with pytest.raises(RunError, match=r"no server answers: .*no answer in"):
            list(engine.score(plan))


def test_a_server_that_dies_midway_loses_no_item_and_scores_none_twice(tiny, tokenizer_folder):
    prompts = prompts_of(40)
    first, second = FakeServer({"tiny": tiny}), FakeServer({"tiny": tiny})
    with serving(first, second) as urls:
        engine = open_engine(opened(urls, tokenizer_folder, backoff=0.001))
        engine.tokens_per_second(engine.plan(prompts))
        first.dies_after = len(first.completions) + 20
        found = scores(engine, prompts)  # asserts that none comes twice
        assert first.dead
    np.testing.assert_allclose(found, scores(LocalEngine(tiny), prompts), atol=EXACT)


def test_the_last_server_that_dies_is_an_error_that_keeps_what_was_scored(tiny, tokenizer_folder):
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        engine = open_engine(opened(urls, tokenizer_folder, backoff=0.001))
        plan = engine.plan(prompts_of(10))
        engine.tokens_per_second(plan)
        fake.dies_after = len(fake.completions) + 12
        scored = []
        with pytest.raises(RunError, match="no server answers") as error:
            scored.extend(engine.score(plan))
    assert "rerun the same command" in error.value.hint


def test_what_batching_changes_is_counted(tiny, tokenizer_folder):
    with serving(FakeServer({"tiny": tiny})) as urls:
        engine = open_engine(opened(urls, tokenizer_folder))
        assert engine.facts == {}
        assert engine.tokens_per_second(engine.plan(prompts_of(20))) > 0
    assert engine.facts["engine"] == f"vllm 0.32.0 at {urls[0].partition('://')[2]}"
    assert engine.facts["batching"] == {"items": 16, "in flight": 16, "flips": 0, "largest difference": 0.0}


def test_tokens_sent_and_those_from_the_servers_cache_are_counted(tiny, tokenizer_folder):
    fake = FakeServer({"tiny": tiny})
    with serving(fake) as urls:
        engine = open_engine(opened(urls, tokenizer_folder))
        plan = engine.plan(prompts_of(20))
        engine.tokens_per_second(plan)
        fake.completions.clear()
        list(engine.score(plan))
        once = engine.facts["server tokens"]
        assert once["sent"] == sum(len(body["prompt"]) for body in fake.completions)
        assert once["cached"] >= 20 * (len(plan.prefix) // BLOCK * BLOCK) > 0
        next(engine.score(plan))  # and no further
        both = engine.facts["server tokens"]
        assert both["sent"] > once["sent"]
        fake.faults = {"silent-cache"}
        silent = open_engine(opened(urls, tokenizer_folder))
        list(silent.score(plan))
        assert silent.facts["server tokens"] == {"sent": once["sent"], "cached": None}


def test_what_needs_weights_is_refused(tiny, tokenizer_folder, tmp_path):
    with serving(FakeServer({"tiny": tiny})) as urls:
        model = opened(urls, tokenizer_folder)
        engine = open_engine(model)
        with pytest.raises(ConfigError, match="no hidden states"):
            next(engine.score(engine.plan(prompts_of(2)), states=True))
        with pytest.raises(ConfigError, match="paper"):
            open_engine(model, EvaluateConfig(rule="paper"))
        with pytest.raises(ConfigError, match=r"model.quantise 4bit: does not go with model.server"):
            load_model("tiny", server=urls, tokenizer=tokenizer_folder, quantise="4bit")


@pytest.mark.parametrize("adapter", [None, "tuned"])
def test_each_server_reads_one_whole_text_at_a_time_where_there_are_adapters(tiny, tokenizer_folder, adapter):
    models = {"base": tiny} | ({adapter: replace(make_model(seed=1), tokenizer=tiny.tokenizer)} if adapter else {})
    fakes = [FakeServer(models, parents={adapter: "base"} if adapter else {}, seconds=0.003) for _ in range(2)]
    prompts = kind_prompts("agreement")[1]
    with serving(*fakes) as urls:
        engine = open_engine(opened(urls, tokenizer_folder, name="base"))
        found = scores(engine, prompts)
    assert [fake.most_at_once == 1 for fake in fakes] == [bool(adapter)] * 2
    assert engine.facts["batching"]["in flight"] == (2 if adapter else len(prompts))
    np.testing.assert_allclose(found, scores(LocalEngine(tiny), prompts), atol=EXACT, rtol=1e-6)
