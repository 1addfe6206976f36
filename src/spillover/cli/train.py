"""`spillover train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import (  # fmt: skip
    Data,
    Device,
    Dtype,
    FourBit,
    Model,
    Out,
    Revision,
    Seed,
    Set,
    TaskName,
    Trust,
    model_flags,
)
from spillover.cli.terminal import progress_bars


def train(
    out: Out,
    model: Model = "smollm2-135m",
    revision: Revision = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    load_in_4bit: FourBit = False,
    trust_remote_code: Trust = False,
    pairs: Annotated[Path | None, typer.Option(help="pairs.jsonl; <out>/build/pairs.jsonl when left out.")] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between in-training evaluations on a few items of --task (default: none).")
    ] = None,
    task: TaskName = "sentiment",
    data: Data = "demo",
    seed: Seed = 0,
    set_: Set = None,
) -> None:
    """A LoRA adapter from pairs: <out>/train/adapter."""
    from spillover.core.config import load_config
    from spillover.stages.build.pairs import read_pairs

    evaluated = {"train__eval_every": eval_every, "tasks": [task], "data": data}
    config = load_config(None, set_ or (), seed=seed, **evaluated, **model_flags(locals()))
    made = read_pairs(pairs or out / "build" / "pairs.jsonl")
    from spillover.core.runs import first_process
    from spillover.models.load import load_model
    from spillover.pipeline import training_evaluation
    from spillover.stages.build.pairs import trained_languages
    from spillover.stages.train.stage import train as tune
    from spillover.tasks.benchmark import benchmark_of

    evaluation = training_evaluation(config, benchmark_of(config), trained_languages(made))

    with progress_bars() as progress:
        base = load_model(**config.model.model_dump())
        tune(base, made, out=out, config=config.train, seed=seed, evaluation=evaluation, progress=progress)
    if first_process():
        print(f"wrote {out / 'train' / 'adapter'}")
