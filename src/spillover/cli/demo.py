"""`spillover demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import Lang, Out
from spillover.cli.run import run_config
from spillover.cli.terminal import say


def demo(
    out: Out = Path("runs/demo"),
    limit: Annotated[int | None, typer.Option(help="Items per language (default: all 24).")] = None,
    lang: Lang = "all",
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier demo in --out first.")] = False,
) -> None:
    """The full pipeline on the packaged model and the demo data, minutes on a laptop."""
    from spillover.core.config import load_config
    from spillover.core.files import resources

    if fresh:
        _delete_run(out)
    languages = lang.split(",") if lang != "all" else None
    config = load_config(resources() / "demo.yaml", limit=limit, languages=languages)
    say("spillover demo: SmolLM2-135M, sentiment in 20 languages, tuned on Spanish and German questions.")
    say("On two cores this takes four to eight minutes. Interrupt it at any time; rerun to resume.")
    run_config(config, out)


def _delete_run(out: Path) -> None:
    import shutil

    from spillover.core.runs import existing_run

    if out.exists():
        existing_run(out)
        shutil.rmtree(out)
