"""The options that several verbs share, and what they mean in a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Out = Annotated[Path, typer.Option("--out", help="Run folder; made when it is not there.")]
Model = Annotated[str, typer.Option("--model", help="smollm2-135m, a Hugging Face id, or a folder.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
Adapter = Annotated[str | None, typer.Option(help="Folder of a LoRA adapter.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")]
FourBit = Annotated[bool, typer.Option("--load-in-4bit", help="Load with bitsandbytes.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
TaskName = Annotated[str, typer.Option("--task", help="sentiment, nli, paraphrase, or a task folder.")]
Data = Annotated[str, typer.Option(help="demo, or a folder with <task>/<split>/<language>.jsonl.")]
Lang = Annotated[str, typer.Option("--lang", help="zh,de or all.")]
Limit = Annotated[int | None, typer.Option(help="Items per language; all when left out.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any config key: --set train.rank=16.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON.")]


def model_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """The model section's flags among a verb's arguments; an absent flag stays unset."""
    keys = ("revision", "adapter", "dtype", "device", "load_in_4bit", "trust_remote_code")
    return {"model__name": flags["model"]} | {f"model__{key}": flags[key] or None for key in keys if key in flags}
