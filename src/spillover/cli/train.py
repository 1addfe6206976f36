"""`spillover train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.config_options import MODEL, config_options
from spillover.cli.options import Out
from spillover.cli.terminal import progress_bars, show
from spillover.core.config import RunConfig


@config_options(
    *(key for key in MODEL if not key.startswith(("model.adapter", "model.steer"))), "evaluate.wording",
    "evaluate.chat", "evaluate.system_prompt", "train.eval_every",
    "tasks", "data", "seed",
)  # fmt: skip
def train(
    out: Out,
    config: RunConfig,
    pairs: Annotated[Path | None, typer.Option(help="Training pairs. [default: <out>/build/pairs.jsonl]")] = None,
) -> None:
    """Train a LoRA adapter on pairs: <out>/train/adapter."""
    from spillover.models.served_model import check_no_server
    from spillover.stages.build.pairs import read_pairs

    check_no_server(config.model.server, "train")
    training_pairs = read_pairs(pairs or out / "build" / "pairs.jsonl")
    from spillover.core.runs import first_process, open_run
    from spillover.models.load import load_model
    from spillover.pipeline import training_evaluation
    from spillover.stages.build.pairs import trained_languages
    from spillover.stages.train.stage import train as tune
    from spillover.tasks.benchmark import benchmark_of

    evaluation = training_evaluation(config, [benchmark_of(config)], trained_languages(training_pairs))

    with open_run(out).locked(), progress_bars() as progress:
        base = load_model(**config.model.model_dump(), progress=progress)
        tune(
            base, training_pairs, out=out, config=config.train, seed=config.seed, evaluation=evaluation,
            evaluate=config.evaluate, progress=progress,
        )  # fmt: skip
    if first_process():
        show(f"wrote {out / 'train' / 'adapter'}")
