"""`spillover probe` and `spillover probe lens`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from spillover.cli.config_options import MODEL, config_options
from spillover.cli.options import PLAIN, Json, Name, OptionalOut
from spillover.cli.terminal import print_json, progress_bars, show
from spillover.core.config import RunConfig
from spillover.core.visible_text import visible

app = typer.Typer(**PLAIN, invoke_without_command=True)


@app.callback()
@config_options(
    *MODEL, "languages", "probe.items", "probe.layers", "probe.rule", "probe.pairs", "probe.random_weights",
    "evaluate.wording", "evaluate.chat", "evaluate.system_prompt", "seed",
)  # fmt: skip
def probe(
    context: typer.Context,
    config: RunConfig,
    out: OptionalOut = None,
    name: Name = None,
    task: Annotated[str | None, typer.Option(help="A task. [default: the run's evaluation's]")] = None,
    data: Annotated[str | None, typer.Option(help="A data folder. [default: the run's evaluation's]")] = None,
) -> None:
    """Probe each layer (logit lens, PCA, alignment, language identity), with nulls: <out>/probe/<name>.

    Reads the items that `spillover evaluate` scored in the run, with its label set, shots and chat form; with --task
    and --data, your own items. `spillover probe lens --text TEXT` shows every layer's top tokens for one text.
    """
    if context.invoked_subcommand is not None:
        return
    from spillover.core.errors import ConfigError
    from spillover.core.model_names import name_in_run
    from spillover.core.runs import open_run
    from spillover.stages.probe.selection import task_and_data
    from spillover.tasks.benchmark import open_benchmark

    if out is None:
        raise ConfigError("--out is missing", hint="spillover probe --out RUN, or spillover probe lens --text TEXT")
    from spillover.models.served_model import check_no_server

    check_no_server(config.model.server, "probe")
    name = name or name_in_run(config.model.adapter, config.model.steer)
    run = open_run(out)
    task, data, wording = task_and_data(run, name, task, data, config.evaluate.wording)
    benchmark = open_benchmark(
        task, data=data, languages=config.languages, seed=config.seed, where="--lang", wording=wording
    )
    benchmark.check_labels(config.evaluate.labels)
    from spillover.models.load import load_model
    from spillover.stages.probe.stage import probe as probe_model

    with run.locked(), progress_bars() as progress:
        loaded = load_model(**config.model.model_dump(), progress=progress)
        folder = probe_model(
            run, loaded, benchmark, name=name, config=config.probe, evaluate=config.evaluate, progress=progress
        )
    show(f"wrote {folder}")


@app.command()
@config_options(*(key for key in MODEL if key != "model.steer"))
def lens(
    config: RunConfig,
    text: Annotated[str, typer.Option("--text", help="The text whose next token every layer predicts.")],
    tokens: Annotated[int, typer.Option(help="How many of the text's last tokens to show.", min=1)] = 5,
    top: Annotated[int, typer.Option(help="With --json: tokens per layer and position.", min=1)] = 5,
    as_json: Json = False,
) -> None:
    """Show every layer's most probable next token for one text, as a heatmap. Writes nothing."""
    from spillover.models.load import load_model
    from spillover.models.served_model import check_no_server
    from spillover.stages.probe.lens import top_tokens

    check_no_server(config.model.server, "probe lens")
    with progress_bars() as progress:
        progress("load the model", 0, 1)
        loaded = load_model(**config.model.model_dump(), progress=progress)
        progress("load the model", 1, 1)
        predictions = top_tokens(loaded, text, places=tokens, top=top)
    if as_json:
        print_json(predictions)
    else:
        _print_heatmap(predictions)


def _print_heatmap(predictions: dict[str, Any]) -> None:
    """Layers downwards, the text's tokens across; the more probable, the brighter the cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    width = max(6, (console.width - 7) // len(predictions["tokens"]) - 1)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=True)
    table.add_column("layer", justify="right", width=5, no_wrap=True)
    for token in predictions["tokens"]:
        table.add_column(Text(_shown(token), style="bold"), width=width, no_wrap=True, overflow="ellipsis")
    for row in reversed(predictions["layers"]):
        cells = [_cell(position[0]["token"], position[0]["probability"], width) for position in row["places"]]
        table.add_row(str(row["layer"]), *cells)
    console.print(table)
    console.print("Each cell: the layer's next token after the one above, and its probability in %.")


def _cell(token: str, probability: float, width: int) -> Any:
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    share = f"{100 * probability:.0f}"
    word = _shown(token)
    room = width - len(share) - 1
    if cell_len(word) > room:
        word = set_cell_size(word, max(1, room - 1)).rstrip() + "…"
    grey = 238 if probability < 0.1 else 25 if probability < 0.4 else 31 if probability < 0.7 else 37
    return Text(set_cell_size(f"{set_cell_size(word, room)} {share}", width), style=f"white on color({grey})")


def _shown(token: str) -> str:
    """A token with its whitespace visible."""
    return visible(token.translate({ord(" "): "·", ord("\n"): "↵", ord("\t"): "→"}))
