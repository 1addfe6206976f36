"""`spillover build`."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.options import Data, Model, Out, Seed, Set, TaskName


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
    mix: Annotated[
        str, typer.Option(help="Shares of the source languages: proportional, equal or temperature.")
    ] = "proportional",
    replay: Annotated[float, typer.Option(help="Share of rows that are plain English text, to hold English.")] = 0.0,
    file: Annotated[
        list[str] | None,
        typer.Option(help="Ready-made pairs instead: the paper's, TRL's or LLaMA-Factory's (its dataset_info.json)."),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Write them for another trainer too: trl or llama-factory.")
    ] = None,
    end_of_text: Annotated[
        str, typer.Option(help="With llama-factory: the model's end-of-text token, as in <|im_end|>.")
    ] = "",
    model: Model = "smollm2-135m",
    seed: Seed = 0,
    set_: Set = None,
) -> None:
    """Question-translation pairs: <out>/build/pairs.jsonl."""
    from spillover.core.config import load_config
    from spillover.core.runs import open_run
    from spillover.stages.build.formats import check_format, export
    from spillover.stages.build.pairs import build as build_stage

    config = load_config(
        None, set_ or (), build__mix=mix, build__replay=replay, model__name=model,
        build__task=task, build__sources=source, build__target=target, build__pairs=pairs,
        build__arm=arm, build__overlap=overlap, build__files=file, data=data, seed=seed,
    )  # fmt: skip
    check_format(format_, end_of_text)
    made = build_stage(open_run(out), config.build, data=data, seed=seed)
    print(f"wrote {out / 'build' / 'pairs.jsonl'} ({len(made)} pairs)")
    if format_:
        print(f"wrote {export(out / 'build', made, format_, config, end=end_of_text)}")
