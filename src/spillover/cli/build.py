"""`spillover build`."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.options import Data, Out, Seed, TaskName


def build(
    out: Out,
    task: TaskName = "sentiment",
    data: Data = "demo",
    source: Annotated[str, typer.Option(help="Source languages, as in zh,sw.")] = "all",
    target: Annotated[str | None, typer.Option(help="Target language; English when left out.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Pairs per source language; all when left out.")] = None,
    arm: Annotated[
        str, typer.Option(help="translate, or: shuffled, copy, template, off-domain, labelled.")
    ] = "translate",
    overlap: Annotated[str, typer.Option(help="Questions that are test items: refuse or drop.")] = "refuse",
    file: Annotated[list[str] | None, typer.Option(help="Ready-made pairs of the paper, instead.")] = None,
    seed: Seed = 0,
) -> None:
    """Question-translation pairs: <out>/build/pairs.jsonl."""
    from spillover.build.pairs import build as build_stage
    from spillover.core.config import load_config
    from spillover.core.runs import open_run

    config = load_config(
        build__task=task, build__sources=source, build__target=target, build__pairs=pairs,
        build__arm=arm, build__overlap=overlap, build__files=file, data=data, seed=seed,
    )  # fmt: skip
    made = build_stage(open_run(out), config.build, data=data, seed=seed)
    print(f"wrote {out / 'build' / 'pairs.jsonl'} ({len(made)} pairs)")
