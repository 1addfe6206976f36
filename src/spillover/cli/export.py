"""Export tasks and results to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import PLAIN
from spillover.cli.terminal import show
from spillover.core.config import RunConfig
from spillover.core.types import Relationship

app = typer.Typer(**PLAIN, no_args_is_help=True, help="Export tasks and results to other tools.")


@app.command("lm-eval")
@config_options(
    "data", "languages", "evaluate.labels", "evaluate.shots", "limit", "evaluate.missing_items", "seed",
)  # fmt: skip
def export_lm_eval(
    config: RunConfig,
    task: Annotated[str, typer.Argument(help="A bundled task or a task folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; new or empty.")],
) -> None:
    """Write a task for lm-evaluation-harness.

    Prompts and answers are those of `spillover evaluate --chat off`, and its log is a side of `spillover compare`.
    """
    from spillover.stages.export.harness_tasks import tag_of
    from spillover.stages.export.stage import export_lm_eval as write_tasks
    from spillover.tasks.benchmark import benchmark_of

    benchmark = benchmark_of(config, task)
    for name, items in write_tasks(benchmark, out, config=config.evaluate).items():
        show(f"{name}: {items} items")
    show(f"wrote {out}; lm_eval run --include_path {out} --tasks {tag_of(benchmark.task)} --log_samples ...")


@app.command("eee")
def export_eee(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write. [default: <run>/export]")] = None,
    name: Annotated[str | None, typer.Option(help="Name of one evaluation in the run. [default: all]")] = None,
    organization: Annotated[str, typer.Option(help="Who evaluated, for the record.")] = "unknown",
    relationship: Annotated[
        Relationship, typer.Option(help="Of who evaluated to who made the model, as the schema has it.")
    ] = "other",
) -> None:
    """Write a run as Every Eval Ever records, with each item's scores."""
    from spillover.core.runs import existing_run
    from spillover.stages.export.stage import export_eee as write_records

    folder = out or run / "export"
    for path in write_records(
        existing_run(run), folder, name=name, organization=organization, relationship=relationship
    ):
        show(f"wrote {path}")
