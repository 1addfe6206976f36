"""`spillover explore`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.config_options import MODEL, config_options
from spillover.cli.terminal import progress_bars, say, show
from spillover.core.config import RunConfig
from spillover.core.files import resources


@config_options(
    *MODEL, "tasks", "data", "evaluate.chat", "evaluate.system_prompt", base=resources() / "explore.yaml"
)  # fmt: skip
def explore(
    context: typer.Context,
    config: RunConfig,
    run: Annotated[
        Path | None, typer.Option("--run", help="A finished run, with its models unless --model is given.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port. [default: the first free one from 7860]")] = None,
    share: Annotated[bool, typer.Option("--share", help="Also a public address, through Gradio's servers.")] = False,
) -> None:
    """Serve a page on this machine that shows a loaded model think, in any language.

    Ask, look into its layers, compare languages, and open the flipped items of a run. --adapter or --steer shows the
    tuned model beside its base.
    """
    from spillover.explore.gradio_page import check_port, make_page, serve
    from spillover.explore.run_items import opening_of_run
    from spillover.explore.session import open_session
    from spillover.tasks.wording import load_task

    if port is not None:
        check_port(port)
    arguments = config.model.model_dump(exclude={"server", "tokenizer", "in_flight"}) | {"data": config.data}
    tasks = list(config.tasks)
    if run is not None:
        of_run, task = opening_of_run(str(run))
        arguments |= _not_given(context, of_run)
        tasks = tasks if context.params.get("tasks") else [task]
    for task in tasks:
        load_task(task)
    with progress_bars() as progress:
        session = open_session(**arguments, config=config.evaluate, progress=progress)
    page = make_page(session, tasks, run=None if run is None else str(run), fixed_run=share)
    address = serve(page, port=port, share=share)
    if share:
        say("warning: --share: whoever has this address can use the page, and what they type reaches this machine")
    show(address)
    sys.stdout.flush()  # whoever reads a pipe waits for it
    say("Ctrl-C stops it")
    try:
        while page.is_running:
            time.sleep(1)
    finally:
        page.close(verbose=False)


def _not_given(context: typer.Context, of_run: dict[str, Any]) -> dict[str, Any]:
    """What a run says of models and data, but for what was given as options: they go before."""
    given = context.params
    changed = any(text.startswith("model.") for text in given.get("set_") or ())
    models = changed or any(given.get(f"model__{key}") for key in ("name", "adapter", "steer"))
    return {key: value for key, value in of_run.items() if not (given.get("data") if key == "data" else models)}
