"""`spillover train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import Device, Dtype, FourBit, Model, Out, Revision, Seed, Set, Trust, model_flags
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
    seed: Seed = 0,
    set_: Set = None,
) -> None:
    """A LoRA adapter from pairs: <out>/train/adapter."""
    from spillover.build.pairs import read_pairs
    from spillover.core.config import load_config

    config = load_config(None, set_ or (), seed=seed, **model_flags(locals()))
    made = read_pairs(pairs or out / "build" / "pairs.jsonl")
    from spillover.models.load import load_model
    from spillover.train.lora import train as tune

    with progress_bars() as progress:
        base = load_model(**config.model.model_dump())
        tune(base, made, out=out, config=config.train, seed=seed, progress=progress)
    print(f"wrote {out / 'train' / 'adapter'}")
