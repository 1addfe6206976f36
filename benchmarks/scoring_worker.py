"""One engine of `scoring.py` in a process of its own: `scoring_worker.py ours|paper|lm-eval MODEL DTYPE`; or of
`serving.py`, over a server: `scoring_worker.py served|lm-eval-served MODEL DTYPE URL`.

A request is a line of JSON with prompts; the answer is a line with seconds, tokens and label log-probabilities. With
BENCH_PROCESSOR_TIME set, one thread works and its processor time counts, which other work on the machine disturbs less.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import torch

CUBE = 2048
SERVED = "served"
ONE_THREAD = bool(os.environ.get("BENCH_PROCESSOR_TIME"))
clock = time.process_time if ONE_THREAD else time.perf_counter


def memory_mib(field: str) -> float:
    """VmRSS, what this process holds now, or VmHWM, the most it held since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def product_rate(dtype: torch.dtype) -> float:
    """Floating-point operations per second of a square matrix product, the best of a few."""
    square = torch.randn(CUBE, CUBE, dtype=dtype)
    square @ square
    times = []
    for _ in range(5):
        started = clock()
        square @ square
        times.append(clock() - started)
    return 2 * CUBE**3 / min(times)


def ours(name: str, dtype: str) -> Callable[[dict], dict]:
    from spillover.core.types import Prompt
    from spillover.models.load import load_model
    from spillover.models.local import LocalEngine

    model = load_model(name, dtype=dtype, device="cpu")
    embeddings = {id(model.module.get_input_embeddings().weight), id(model.module.get_output_embeddings().weight)}
    parameters = sum(p.numel() for p in model.module.parameters() if id(p) not in embeddings)
    weights = memory_mib("VmRSS")

    def answer(request: dict) -> dict:
        prompts = [Prompt(p["id"], "", p["prefix"], p["body"], tuple(p["answers"])) for p in request["prompts"]]
        forget_peak()
        started = clock()
        engine = LocalEngine(model, prefix_cache=request.get("prefix_cache", True))
        engine._trusted = True  # the check of both ways is made once per model and dtype, not per cell
        plan = engine.plan(prompts)
        batches = list(engine.score(plan))
        seconds = clock() - started
        rows = {i: row for batch in batches for i, row in zip(batch.index, batch.logprobs.tolist(), strict=True)}
        counts = {i: row for batch in batches for i, row in zip(batch.index, batch.label_tokens.tolist(), strict=True)}
        operations = 2 * parameters * plan.computed
        return {
            "seconds": seconds,
            "tokens": plan.computed,
            "logprobs": [rows[i] for i in range(len(prompts))],
            "label_tokens": [counts[i] for i in range(len(prompts))],
            "share": operations / seconds / product_rate(model.dtype),
            "extra_mib": memory_mib("VmHWM") - weights,
        }

    return answer


def paper(name: str, dtype: str) -> Callable[[dict], dict]:
    """One prompt at a time, every logit of every position."""
    from spillover.models.load import load_model

    model = load_model(name, dtype=dtype, device="cpu")

    def answer(request: dict) -> dict:
        tokens = 0
        started = clock()
        with torch.inference_mode():
            for prompt in request["prompts"]:
                ids = model.tokenizer(prompt["prefix"] + prompt["body"], return_tensors="pt").input_ids
                model.module(ids).logits[0, -1].float().log_softmax(-1)
                tokens += ids.shape[1]
        return {"seconds": clock() - started, "tokens": tokens}

    return answer


def lm_eval(name: str, dtype: str) -> Callable[[dict], dict]:
    """What `multiple_choice` asks of its model: the log-likelihood of every label after every prompt, batches of 16."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=name, dtype=dtype, batch_size=16, device="cpu")

    def answer(request: dict) -> dict:
        asked = [
            Instance("loglikelihood", {}, (prompt["prefix"] + prompt["body"], answer), i)
            for prompt in request["prompts"]
            for i, answer in enumerate(prompt["answers"])
        ]
        started = clock()
        found = iter(model.loglikelihood(asked, disable_tqdm=True))
        seconds = clock() - started
        return {
            "seconds": seconds,
            "tokens": sum(len(model.tok_encode("".join(one.args))) for one in asked),
            "logprobs": [[next(found)[0] for _ in prompt["answers"]] for prompt in request["prompts"]],
        }

    return answer


def counters(url: str) -> dict[str, int]:
    """Prompt tokens that a vLLM server has read since its start, and how many of them its prefix cache held."""
    with urllib.request.urlopen(f"{url}/metrics") as response:
        lines = response.read().decode().splitlines()
    names = {"tokens": "vllm:prompt_tokens_total", "cached": "vllm:prefix_cache_hits_total"}
    return {
        key: sum(int(float(line.split()[-1])) for line in lines if line.partition("{")[0] == name)
        for key, name in names.items()
    }


def over_server(url: str, score: Callable[[], list[list[float]]]) -> dict:
    """Seconds, prompt tokens and cached ones of `score`, which begins with an empty cache, and what it returns."""
    request = urllib.request.Request(f"{url}/reset_prefix_cache", method="POST")
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["success"], "the cache is in use"
    before, started = counters(url), time.perf_counter()
    logprobs = score()
    seconds, after = time.perf_counter() - started, counters(url)
    return {"seconds": seconds, "logprobs": logprobs} | {key: after[key] - before[key] for key in before}


def served(name: str, dtype: str, url: str) -> Callable[[dict], dict]:
    """Ours over a server. check_seconds: what an evaluation's checks of it take, which are not in `seconds`."""
    from spillover.core.types import Prompt
    from spillover.models.served_model import open_served_model
    from spillover.models.server import ServerEngine

    model = open_served_model(SERVED, [url], tokenizer=name, dtype=dtype)

    def answer(request: dict) -> dict:
        prompts = [Prompt(p["id"], "", p["prefix"], p["body"], tuple(p["answers"])) for p in request["prompts"]]
        engine = ServerEngine(model)
        started = time.perf_counter()
        engine.tokens_per_second(engine.plan(prompts))
        check_seconds = time.perf_counter() - started

        def score() -> list[list[float]]:
            rows = {batch.index[0]: batch.logprobs[0].tolist() for batch in engine.score(engine.plan(prompts))}
            return [rows[i] for i in range(len(prompts))]

        return over_server(url, score) | {"check_seconds": check_seconds, "facts": engine.facts}

    return answer


def lm_eval_served(name: str, dtype: str, url: str) -> Callable[[dict], dict]:
    """`local-completions`, with as many requests at a time as ours begins with."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    model = LocalCompletionsAPI(
        base_url=f"{url}/v1/completions", model=SERVED, tokenizer=name, tokenizer_backend="huggingface",
        add_bos_token=True, num_concurrent=16,
    )  # fmt: skip

    def answer(request: dict) -> dict:
        asked = [
            Instance("loglikelihood", {}, (prompt["prefix"] + prompt["body"], answer), i)
            for prompt in request["prompts"]
            for i, answer in enumerate(prompt["answers"])
        ]

        def score() -> list[list[float]]:
            found = iter(model.loglikelihood(asked, disable_tqdm=True))
            return [[next(found)[0] for _ in prompt["answers"]] for prompt in request["prompts"]]

        return over_server(url, score)

    return answer


ENGINES = {
    "ours": ours, "paper": paper, "lm-eval": lm_eval, "served": served, "lm-eval-served": lm_eval_served,
}  # fmt: skip


def main() -> None:
    if ONE_THREAD:
        torch.set_num_threads(1)
    engine, *arguments = sys.argv[1:]
    respond = ENGINES[engine](*arguments)
    for line in sys.stdin:
        print(json.dumps(respond(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
