"""Acceptance by a real vLLM on the CPU (`make test-servers`): what the tests with a server of their own cannot show."""

from __future__ import annotations

import os
from dataclasses import replace

import httpx2 as httpx
import numpy as np
import pytest

from spillover.core.config import EvaluateConfig, TrainConfig
from spillover.core.runs import open_run
from spillover.models.engine import open_engine
from spillover.models.load import attach_adapter, load_model
from spillover.models.packaged_model import local_path
from spillover.models.served_model import open_served_model
from spillover.models.server_client import NEUTRAL, TIMEOUT
from spillover.stages.build.stage import build_pairs
from spillover.stages.compare.differences import differences
from spillover.stages.compare.stage import compare
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.train.stage import train
from spillover.tasks.benchmark import open_benchmark
from tests.models.fake_server import FakeServer, serving
from tests.models.test_own_answers import kind_prompts
from tests.models.test_server import scores
from tests.models.vllm_server import NAME, vllm_server
from tests.stages.evaluate.test_stage import table_bytes

PYTHON = os.environ.get("SPILLOVER_VLLM_PYTHON", "")
MODEL = os.environ.get("SPILLOVER_VLLM_MODEL", "smollm2-135m")
EXACT = 1e-4
ADAPTERS = {"es-de": 0, "it-sw": 1}
"""Adapters by the seed of their training."""
pytestmark = [
    pytest.mark.packaged,
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(not PYTHON, reason="SPILLOVER_VLLM_PYTHON names the python of an environment with vLLM"),
]


@pytest.fixture(scope="module")
def local():
    return load_model(MODEL, dtype="float32")


@pytest.fixture(scope="module")
def adapters(local, tmp_path_factory):
    """Folders of adapters that a few steps of training made."""
    pairs = build_pairs("sentiment")[:8]
    config = TrainConfig(keep_merged=False, validation=0.0, learning_rate=2e-3, batch=4)
    folders = {}
    for name, seed in ADAPTERS.items():
        out = tmp_path_factory.mktemp(name)
        train(local, pairs, out=out, config=config, seed=seed)
        folders[name] = out / "train" / "adapter"
    return folders


@pytest.fixture(scope="module")
def vllm(tmp_path_factory, adapters):
    """A server with the packaged model in float32, and adapters on it."""
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    with vllm_server(local_path(MODEL), log, python=PYTHON, adapters=adapters) as server:
        yield server


def opened(*servers, dtype="float32", **options):
    return open_served_model(
        NAME, [server.url for server in servers], tokenizer=local_path(MODEL), dtype=dtype, **options
    )


@pytest.mark.parametrize("task", ["nli", "sentiment"])
def test_scores_are_the_local_ones(task, vllm, local, demo_prompts):
    prompts = demo_prompts(task, "de", "english", 24)
    engine = open_engine(opened(vllm))
    found, expected = scores(engine, prompts), scores(open_engine(local), prompts)
    print(f"{task}: largest difference {np.abs(found - expected).max():.2g}; {engine.facts}")
    np.testing.assert_allclose(found, expected, atol=EXACT)
    assert engine.facts["batching"]["flips"] == 0


@pytest.mark.parametrize("task", ["reading", "agreement"])
def test_choices_and_pairs_have_the_local_scores(task, vllm, local):
    prompts = kind_prompts(task)[1][:6]
    found, expected = scores(open_engine(opened(vllm)), prompts), scores(open_engine(local), prompts)
    there = np.isfinite(expected)  # not every item has as many answers
    print(f"{task}: largest difference {np.abs(found[there] - expected[there]).max():.2g}")
    # Whole texts sum to hundreds of nats: a part in a million is a float32's last digits.
    np.testing.assert_allclose(found, expected, atol=EXACT, rtol=1e-6)


def test_labels_that_no_model_would_choose_have_their_exact_scores(vllm, local, demo_prompts):
    answers = ("zqx", "%%)(", "\u0e01\u0e02\u0e03")
    prompts = [replace(prompt, answers=answers) for prompt in demo_prompts("sentiment", "en", "english", 3)]
    found, expected = scores(open_engine(opened(vllm)), prompts), scores(open_engine(local), prompts)
    assert expected.max() < -5, "outside the most probable tokens"
    np.testing.assert_allclose(found, expected, atol=EXACT)


def test_few_shot_examples_come_from_the_servers_cache(vllm, demo_prompts):
    prompts = demo_prompts("nli", "fr", "english", 24)
    engine = open_engine(opened(vllm))
    plan = engine.plan(prompts)
    list(engine.score(plan))
    tokens = engine.facts["server tokens"]
    print(f"{tokens['cached']:,} of {tokens['sent']:,} tokens from the cache")
    reads = len(prompts) * len(plan.prefix)
    assert tokens["sent"] > reads
    assert tokens["cached"] > 0.9 * reads


def test_adapters_stand_on_the_base_and_are_compared_as_local_ones(vllm, local, adapters, tmp_path):
    # An adapter costs vLLM on a CPU seconds a request.
    benchmark = open_benchmark("sentiment", languages="en,sw", limit=6)
    served = {
        name: evaluate(opened(vllm, adapter=name), benchmark, out=tmp_path, name=name or "base")
        for name in (None, *adapters)
    }
    here = {None: local} | {name: attach_adapter(local, str(folder)) for name, folder in adapters.items()}
    for name, evaluation in served.items():
        expected = evaluate(here[name], benchmark)
        worst = max(
            float(np.abs(own.logprobs - expected.scores[code].logprobs).max())
            for code, own in evaluation.scores.items()
        )
        moved = max(
            float(np.abs(own.logprobs - served[None].scores[code].logprobs).max())
            for code, own in evaluation.scores.items()
        )
        print(f"{name or 'base'}: largest difference {worst:.2g}, from the base {moved:.2g}")
        assert worst <= EXACT
        assert name is None or moved > 0.01
        if name is not None:
            by_server, by_us = (
                compare(side[None], side[name], seed=0)
                for side in (served, {None: evaluate(local, benchmark), name: expected})
            )
            assert differences(served[None], evaluation) == []
            np.testing.assert_allclose(
                by_server.languages["accuracy_delta"], by_us.languages["accuracy_delta"], atol=1e-9
            )


def test_16_bits_differ_and_flips_are_counted(local, demo_prompts, tmp_path):
    prompts = demo_prompts("nli", "de", "english", 24)
    rounded = load_model(MODEL, dtype="bfloat16")
    with vllm_server(local_path(MODEL), tmp_path / "log.txt", python=PYTHON, DTYPE="bfloat16") as server:
        engine = open_engine(opened(server, dtype="bfloat16"))
        found = scores(engine, prompts)
    for name, model in (("float32", local), ("bfloat16", rounded)):
        expected = scores(open_engine(model), prompts)
        flips = int((found.argmax(1) != expected.argmax(1)).sum())
        print(f"bfloat16 against ours in {name}: {np.abs(found - expected).max():.2g}, {flips} of {len(prompts)} flips")
        assert np.abs(found - expected).max() < 1.0
    print(engine.facts)
    assert engine.facts["batching"]["items"] == 16


def test_a_server_killed_in_the_middle_of_400_items_loses_none(tmp_path):
    benchmark = open_benchmark("sentiment", limit=20)
    assert len(benchmark.languages) * 20 == 400
    config = EvaluateConfig(content_free=[])
    model = local_path(MODEL)
    with (
        vllm_server(model, tmp_path / "a.txt", python=PYTHON, VLLM_CPU_OMP_THREADS_BIND="0") as first,
        vllm_server(model, tmp_path / "b.txt", python=PYTHON, VLLM_CPU_OMP_THREADS_BIND="1") as second,
    ):
        served = opened(first, second)
        whole = evaluate(served, benchmark, config=config, out=tmp_path / "whole")

        def progress(activity, done, total):
            if done == 150:
                first.kill()

        killed = evaluate(served, benchmark, config=config, out=tmp_path / "killed", progress=progress)
        assert first.process.poll() is not None
        assert second.process.poll() is None
    worst, flips = 0.0, 0
    for code, own in killed.scores.items():
        other = whole.scores[code]
        assert own.example_ids == other.example_ids
        assert len(set(own.example_ids)) == 20
        worst = max(worst, float(np.abs(own.logprobs - other.logprobs).max()))
        flips += int((own.logprobs.argmax(1) != other.logprobs.argmax(1)).sum())
    one, two = table_bytes(tmp_path / "whole"), table_bytes(tmp_path / "killed")
    same = sum(one[name] == two[name] for name in one)
    print(f"killed: largest difference {worst:.2g}, {flips} flips, {same} of {len(one)} tables byte-equal")
    assert worst <= EXACT
    facts = open_run(tmp_path / "killed").manifest()["stages"]["evaluate/base/sentiment"]["facts"]
    assert facts["items"] == 400


REQUESTS = {
    "the next token": {"prompt": [11, 12, 13], "logprobs": 1, "logprob_token_ids": [5, 6, 7], **NEUTRAL},
    "a whole text": {"prompt": [11, 12, 13], "logprobs": 1, "echo": True, **NEUTRAL},
    "a model that nobody serves": {"model": "nobody", "prompt": [11]},
    "a prompt that is too long": {"prompt": [11] * 3000},
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_the_server_of_our_tests_answers_as_vllm_does(request_name, vllm, local):
    body = {"model": NAME, "max_tokens": 1, "return_tokens_as_token_ids": True} | REQUESTS[request_name]
    fake = FakeServer({NAME: local}, max_model_len=2048)
    with serving(fake) as (url,):
        ours, theirs = (
            httpx.post(f"{address}/v1/completions", json=body, timeout=TIMEOUT) for address in (url, vllm.url)
        )
    assert ours.status_code == theirs.status_code
    assert_within(ours.json(), theirs.json())


def test_the_server_of_our_tests_describes_itself_as_vllm_does(vllm, local, adapters):
    fake = FakeServer(
        {NAME: local} | dict.fromkeys(adapters, local),
        parents=dict.fromkeys(adapters, NAME),
        max_model_len=2048,
        root=local_path(MODEL),
        roots={name: str(folder) for name, folder in adapters.items()},
    )
    text = {"model": NAME, "prompt": "Größe überrascht, 很好", "add_special_tokens": False}
    with serving(fake) as (url,):
        for method, path, body in (("GET", "/v1/models", None), ("GET", "/version", None), ("POST", "/tokenize", text)):
            ours, theirs = (
                httpx.request(method, address + path, json=body, timeout=TIMEOUT) for address in (url, vllm.url)
            )
            assert ours.status_code == theirs.status_code == 200
            assert_within(ours.json(), theirs.json(), path)


def assert_within(ours, theirs, where=""):
    """That whatever `ours` says, `theirs` says too; numbers to a thousandth, as of log-probabilities."""
    if isinstance(ours, dict):
        assert isinstance(theirs, dict), where
        assert set(ours) <= set(theirs), where
        assert "top_logprobs" not in where or set(ours) == set(theirs), where
        for key, value in ours.items():
            assert_within(value, theirs[key], f"{where} {key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_within(*pair, f"{where} {number}")
    elif isinstance(ours, float):
        assert theirs == pytest.approx(ours, abs=1e-3), where
    else:
        assert ours == theirs, where
