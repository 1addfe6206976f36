"""`spillover probe`."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.options import (
    Adapter,
    Data,
    Device,
    Dtype,
    FourBit,
    Lang,
    Model,
    Out,
    Revision,
    Seed,
    TaskName,
    Trust,
    check_words,
    model_flags,
)
from spillover.cli.terminal import progress_bars


def probe(
    out: Out,
    model: Model = "smollm2-135m",
    name: Annotated[str, typer.Option(help="Name of the model in the run.")] = "base",
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    load_in_4bit: FourBit = False,
    trust_remote_code: Trust = False,
    task: TaskName = "sentiment",
    data: Data = "demo",
    lang: Lang = "all",
    items: Annotated[int, typer.Option(help="Items per language.")] = 24,
    pairs: Annotated[
        str, typer.Option(help="Alignment with the `reference` language, or of `all` with all.")
    ] = "reference",
    random_weights: Annotated[
        bool, typer.Option(help="Also an untrained model of the same shape, as a null: as long again.")
    ] = True,
    seed: Seed = 0,
) -> None:
    """Lens, PCA, alignment and language identity by layer, beside their nulls: <out>/probe/<name>."""
    from spillover.core.config import load_config
    from spillover.core.runs import open_run

    config = load_config(
        data=data,
        tasks=[task],
        probe__items=items,
        probe__pairs=pairs,
        probe__random_weights=random_weights,
        **model_flags(locals()),
    )
    check_words(config, lang)
    from spillover.models.load import load_model
    from spillover.probe.run import probe as look

    with progress_bars() as progress:
        loaded = load_model(**config.model.model_dump())
        folder = look(
            open_run(out), loaded, name, config=config.probe, evaluate=config.evaluate, task=task, data=data,
            languages=lang, seed=seed, progress=progress,
        )  # fmt: skip
    print(f"wrote {folder}")
