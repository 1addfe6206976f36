"""`spillover merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.options import Data, Model, Out, Revision, TaskName
from spillover.cli.terminal import progress_bars


def merge(
    out: Out,
    model: Model = "smollm2-135m",
    revision: Revision = None,
    task: TaskName = "sentiment",
    data: Data = "demo",
    push: Annotated[str | None, typer.Option(help="Then publish to this Hugging Face repository, owner/name.")] = None,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="With --push: publish the adapter, and merge nothing.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="With --push: a new repository is private.")] = False,
) -> None:
    """Fold <out>/train/adapter into full weights, and check that nothing else changed: <out>/train/merged."""
    from spillover.core.config import load_config
    from spillover.core.errors import ConfigError, RunError
    from spillover.core.runs import existing_run

    if (adapter_only or private) and not push:
        raise ConfigError("--adapter-only and --private go with --push", hint="--push owner/name")
    if not (out / "train" / "adapter").is_dir():
        raise RunError(f"{out}: no train/adapter here", hint="`spillover train` first")
    config = load_config(model__name=model, model__revision=revision, tasks=[task], data=data)
    place = existing_run(out)
    if not adapter_only:
        from spillover.pipeline import gate_prompts
        from spillover.stages.train.merge import merge_run
        from spillover.tasks.benchmark import benchmark_of

        with progress_bars() as progress:
            folder = merge_run(place, config.model, gate_prompts(benchmark_of(config), config.evaluate), progress)
        print(f"wrote {folder}")
    if push:
        from spillover.stages.report.model_card import model_card
        from spillover.stages.train.push import Weights
        from spillover.stages.train.push import push as publish

        weights: Weights = "adapter" if adapter_only else "merged"
        card = model_card(place, weights, push.rpartition("/")[2])
        print(f"pushed {publish(place, push, card=card, weights=weights, private=private)}")
