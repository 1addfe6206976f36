"""`spillover merge`."""

from __future__ import annotations

from spillover.cli.options import Data, Model, Out, Revision, TaskName
from spillover.cli.terminal import progress_bars


def merge(
    out: Out,
    model: Model = "smollm2-135m",
    revision: Revision = None,
    task: TaskName = "sentiment",
    data: Data = "demo",
) -> None:
    """Fold <out>/train/adapter into full weights, and check that nothing else changed: <out>/train/merged."""
    from spillover.core.config import load_config
    from spillover.core.errors import RunError
    from spillover.core.runs import existing_run

    if not (out / "train" / "adapter").is_dir():
        raise RunError(f"{out}: no train/adapter here", hint="`spillover train` first")
    config = load_config(model__name=model, model__revision=revision, tasks=[task], data=data)
    from spillover.pipeline import gate_prompts
    from spillover.train.merge import merge_run

    with progress_bars() as progress:
        folder = merge_run(existing_run(out), config.model, gate_prompts(config), progress)
    print(f"wrote {folder}")
