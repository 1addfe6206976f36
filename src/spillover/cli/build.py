"""`spillover build`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import Out
from spillover.cli.terminal import show
from spillover.core.config import RunConfig


@config_options(
    "build.task", "data", "build.sources", "build.target", "build.pairs", "build.arm", "build.overlap", "build.mix",
    "build.replay", "build.files", "evaluate.wording", "model.name", "seed",
)  # fmt: skip
def build(
    out: Out,
    config: RunConfig,
    format_: Annotated[
        Literal["trl", "llama-factory"] | None,
        typer.Option("--format", help="Also write the pairs for another trainer."),
    ] = None,
    end_of_text: Annotated[
        str, typer.Option(help="With llama-factory: the model's end-of-text token, as in <|im_end|>.")
    ] = "",
) -> None:
    """Build question-translation pairs: <out>/build/pairs.jsonl."""
    from spillover.core.runs import open_run
    from spillover.stages.build.formats import check_format, export
    from spillover.stages.build.stage import build_run
    from spillover.tasks.benchmark import training_benchmark

    check_format(format_, end_of_text)
    run = open_run(out)
    with run.locked():
        pairs_written = build_run(run, training_benchmark(config), config.build, seed=config.seed)
        show(f"wrote {out / 'build' / 'pairs.jsonl'} ({len(pairs_written)} pairs)")
        if format_:
            show(f"wrote {export(out / 'build', pairs_written, format_, config, end=end_of_text)}")
