"""`spillover merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import Out
from spillover.cli.terminal import progress_bars, show
from spillover.core.config import RunConfig


@config_options("model.name", "model.revision", "tasks", "data")
def merge(
    out: Out,
    config: RunConfig,
    push: Annotated[str | None, typer.Option(help="Publish to this Hugging Face repository, owner/name.")] = None,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="With --push: publish the adapter without merging.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="With --push: make a new repository private.")] = False,
) -> None:
    """Merge the adapter into full weights and check that nothing else changed: <out>/train/merged."""
    from spillover.core.errors import ConfigError, RunError
    from spillover.core.runs import existing_run

    if (adapter_only or private) and not push:
        raise ConfigError("--adapter-only and --private require --push", hint="--push owner/name")
    if not (out / "train" / "adapter").is_dir():
        raise RunError(f"{out}: no train/adapter found", hint="`spillover train` first")
    run = existing_run(out)
    if not adapter_only:
        from spillover.pipeline import gate_prompts
        from spillover.stages.train.merging import merge_run
        from spillover.tasks.benchmark import benchmark_of

        with run.locked(), progress_bars() as progress:
            prompts = gate_prompts(benchmark_of(config), config.evaluate)
            folder = merge_run(run, config.model, prompts, progress, evaluate=config.evaluate)
        show(f"wrote {folder}")
    if push:
        from spillover.core.model_names import Weights
        from spillover.stages.report.model_card import model_card
        from spillover.stages.train.push import push as publish

        weights: Weights = "adapter" if adapter_only else "merged"
        card = model_card(run, weights, push.rpartition("/")[2])
        show(f"pushed {publish(run, push, card=card, weights=weights, private=private)}")
