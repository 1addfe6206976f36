"""`spillover steer`."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.config_options import MODEL, config_options
from spillover.cli.options import Out, checked_name
from spillover.cli.terminal import progress_bars, show
from spillover.core.config import RunConfig


@config_options(
    *(key for key in MODEL if key != "model.steer"), "steer.method", "steer.text", "steer.languages", "steer.overlap",
    "steer.choose", "steer.layers", "steer.strength", "steer.positions", "tasks", "data", "languages", "limit",
    "evaluate.labels", "evaluate.shots", "evaluate.chat", "compare.primary", "compare.fallback", "seed",
)  # fmt: skip
def steer(
    out: Out,
    config: RunConfig,
    name: Annotated[
        str | None, typer.Option(help="Name in the run. [default: the method's]", callback=checked_name)
    ] = None,
) -> None:
    """Make an intervention in hidden states, without training, and its nulls: <out>/steer/<name>.

    From parallel text, the training questions of --text; `spillover evaluate --steer <out>/steer/<name>` scores it.
    """
    from spillover.core.runs import open_run
    from spillover.models.load import load_model
    from spillover.models.served_model import check_no_server
    from spillover.stages.steer.parallel_text import text_benchmark
    from spillover.stages.steer.stage import steer as make
    from spillover.tasks.benchmark import benchmark_of

    check_no_server(config.model.server, "steer")
    scored = [benchmark_of(config, task) for task in config.tasks]
    text = text_benchmark(config.steer, scored)
    for benchmark in scored:
        benchmark.check_labels(config.evaluate.labels)
    with open_run(out).locked(), progress_bars() as progress:
        base = load_model(**config.model.model_dump(), progress=progress)
        folder = make(
            base, scored[0], out=out, text=text, further=scored[1:], config=config.steer, evaluate=config.evaluate,
            compare=config.compare, seed=config.seed, name=name, progress=progress,
        )  # fmt: skip
    show(f"wrote {folder}, and its nulls beside it: {folder.name}-random and others")
