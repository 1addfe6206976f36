"""`spillover demo`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import Out
from spillover.cli.run import run_config
from spillover.cli.terminal import say
from spillover.core.config import RunConfig
from spillover.core.files import resources
from spillover.core.languages import language


@config_options("model.name", "limit", "languages", base=resources() / "demo.yaml")
def demo(
    config: RunConfig,
    out: Out = Path("runs/demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier demo in --out first.")] = False,
) -> None:
    """Run the full pipeline on the packaged model and the demo data, minutes on a laptop."""
    if fresh and out.exists():
        from spillover.core.runs import existing_run

        run = existing_run(out)
        with run.locked():
            shutil.rmtree(run.path)
    sources = config.build.sources
    listed = sources if isinstance(sources, str) else ", ".join(language(code).name for code in sources)
    tasks = ", ".join(config.tasks)
    say(f"spillover demo: {config.model.name}, {tasks} in 20 languages, tuned on questions in {listed}.")
    say("On two cores this takes four to eight minutes. Interrupt it at any time; rerun to resume.")
    run_config(config, out)
