"""What the tests of the probe share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spillover.core.config import ProbeConfig
from spillover.models.batching import Plan
from spillover.models.local import LocalEngine
from spillover.stages.probe.lens import LogitLens, measure_batch
from spillover.stages.probe.lens_targets import LensTargets, lens_targets, tokens_of_letters
from spillover.stages.probe.stage import probe
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task


@dataclass(frozen=True)
class Reading:
    """What the lens measured of some prompts, in their order: arrays by name, and the engine's log-probabilities."""

    targets: LensTargets
    plan: Plan
    measured: dict[str, np.ndarray]
    logprobs: np.ndarray


def read_lens(model, prompts, label_set="english", rule="exact") -> Reading:
    """The lens on one batch of sentiment prompts."""
    task = load_task("sentiment")
    targets = lens_targets(
        model, task, prompts[0], label_set, rule, tokens_of_letters(model.token_bytes), np.random.default_rng(0)
    )
    engine = LocalEngine(model)
    plan = targets.plan(engine.plan(targets.prompts(prompts)), 100_000)
    batch = next(engine.score(plan, states=True))
    measured = measure_batch(LogitLens(model), targets, plan, batch)
    order = np.argsort(batch.index)
    return Reading(targets, plan, {name: values[order] for name, values in measured.items()}, batch.logprobs[order])


def run_probe(run, model, data, languages="all", *, name="base", evaluate=None, **changes):
    """The folder of the stage on four sentiment items per language, without the random model."""
    config = ProbeConfig(items=4, draws=20, random_weights=False, **changes)
    benchmark = open_benchmark("sentiment", data=data, languages=languages)
    return probe(run, model, benchmark, name=name, config=config, evaluate=evaluate)
