"""Acceptance by a real vLLM on the CPU (`make test-servers`): what the tests with a server of their own cannot show."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from spillover.models.engine import open_engine
from spillover.models.load import load_model
from spillover.models.local import LocalEngine
from spillover.models.packaged_model import local_path
from spillover.models.served_model import open_served_model
from tests.models.test_server import scores

PYTHON = os.environ.get("SPILLOVER_VLLM_PYTHON", "")
MODEL = os.environ.get("SPILLOVER_VLLM_MODEL", "smollm2-135m")
START = Path(__file__).parents[2] / "examples" / "serving" / "cpu.sh"
STARTS_WITHIN = 300
pytestmark = [
    pytest.mark.packaged,
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(not PYTHON, reason="SPILLOVER_VLLM_PYTHON names the python of an environment with vLLM"),
]


def start(port, log):
    environment = os.environ | {"PYTHON": PYTHON, "PORT": str(port), "NAME": "served", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        ["sh", str(START), local_path(MODEL)], env=environment, stdout=log, stderr=subprocess.STDOUT
    )


def wait_for(url, process, log):
    for _ in range(STARTS_WITHIN):
        try:
            if httpx.get(f"{url}/v1/models").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, Path(log.name).read_text()[-2000:]
        time.sleep(1)
    raise AssertionError(Path(log.name).read_text()[-2000:])


@pytest.fixture(scope="module")
def vllm(tmp_path_factory):
    """The address of a vLLM server with the packaged model in float32."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path_factory.mktemp("vllm") / "log.txt").open("w") as log:
        process = start(port, log)
        try:
            wait_for(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def local():
    return load_model(MODEL, dtype="float32")


@pytest.mark.parametrize("task", ["nli", "sentiment"])
def test_scores_are_the_local_ones(task, vllm, local, demo_prompts):
    prompts = demo_prompts(task, "de", "english", 12)
    served = open_served_model("served", [vllm], tokenizer=local_path(MODEL), dtype="float32")
    engine = open_engine(served)
    found = scores(engine, prompts)
    expected = scores(LocalEngine(local), prompts)
    print(f"{task}: largest difference {np.abs(found - expected).max():.2g}; {engine.facts}")
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert engine.facts["batching"]["flips"] == 0


def test_labels_that_no_model_would_choose_have_their_exact_scores(vllm, local, demo_prompts):
    answers = ("zqx", "%%)(", "\u0e01\u0e02\u0e03")
    prompts = [replace(prompt, answers=answers) for prompt in demo_prompts("sentiment", "en", "english", 3)]
    served = open_served_model("served", [vllm], tokenizer=local_path(MODEL), dtype="float32")
    found, expected = scores(open_engine(served), prompts), scores(LocalEngine(local), prompts)
    assert expected.max() < -5, "outside the most probable tokens"
    np.testing.assert_allclose(found, expected, atol=1e-3)
