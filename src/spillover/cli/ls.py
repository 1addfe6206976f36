"""`spillover ls`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from spillover.cli.terminal import show


def ls(
    what: Annotated[
        Literal["tasks", "languages", "models", "runs", "datasets", "checks"], typer.Argument(help="What to list.")
    ],
    folder: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
) -> None:
    """List tasks, languages, models, runs, datasets or checks."""
    lines: dict[str, Callable[[], Iterator[str]]] = {
        "tasks": _task_lines,
        "languages": _language_lines,
        "models": _model_lines,
        "runs": lambda: _run_lines(folder),
        "datasets": _dataset_lines,
        "checks": _check_lines,
    }
    for line in lines[what]():
        show(line)


def _task_lines() -> Iterator[str]:
    from spillover.tasks.wording import bundled_tasks, load_task

    for name in bundled_tasks():
        task = load_task(name)
        sets = ", ".join(["native", *task.label_sets]) if task.kind == "labels" else task.kind
        shots = "1 shot" if len(task.shots) == 1 else f"{len(task.shots)} shots"
        wording = "no wording" if task.kind == "pairs" else f"{len(task.wordings)} languages, {shots}"
        yield f"{name:<12} {wording}, {sets}. {task.description}"


def _language_lines() -> Iterator[str]:
    from spillover.core.languages import known_languages, language

    for code in known_languages():
        row = language(code)
        yield f"{row.code:<4} {row.name:<12} {row.script:<5} {row.family:<13} {row.endonym}"


def _model_lines() -> Iterator[str]:
    from spillover.models.registry import packaged_models

    for name, model in packaged_models().items():
        state = "installed" if all(model.files()) else f"not installed: {model.install}"
        yield f"{name:<13} {model.hub}, licence {model.licence} ({model.terms}); {model.about}; {state}"
    yield "any other     a Hugging Face id, a .gguf file, or a folder with config.json and safetensors"


def _run_lines(folder: Path) -> Iterator[str]:
    from spillover.core.runs import MANIFEST, Run

    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        manifest = Run(path.parent).manifest()
        stages = manifest["stages"].values()
        done = sum(stage["state"] == "done" for stage in stages)
        yield f"{path.parent}  {manifest['created']}  {done} of {len(stages)} stages done"


def _dataset_lines() -> Iterator[str]:
    from spillover.tasks.importers.hub import datasets_known, read_source

    for name in datasets_known():
        source = read_source(name)
        yield f"{name:<16} {source.hub:<34} task {source.task:<11} {', '.join(source.configs)}"


def _check_lines() -> Iterator[str]:
    from spillover.stages.audit.checks import describe_checks

    yield from describe_checks()
