"""Which items the probe looks at: those that the run's evaluation of the same model scored, else those of the data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.errors import RunError
from spillover.core.files import hash_files, hash_of
from spillover.core.languages import select_languages
from spillover.core.runs import Run
from spillover.core.types import Example, Prompt, Task
from spillover.tasks.examples import DEMO, language_files, load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation in a run folder: what it was made from, and the ids of its items."""

    task: str
    data: str
    settings: dict[str, Any]
    example_ids: tuple[str, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.settings["data"])


def evaluations(run: Run, name: str) -> dict[str, Evaluated]:
    """The finished evaluations of the model `name` in the run, by task. RunError when one is unfinished."""
    found = {}
    for stage, record in run.manifest()["stages"].items():
        if not stage.startswith(f"evaluate/{name}/"):
            continue
        if record["state"] != "done":
            raise RunError(f"{run.path}: {stage} is unfinished", hint="`spillover evaluate` goes on with it")
        settings, facts = record["settings"], record["facts"]
        table = pq.read_table(run.path / stage / f"{next(iter(settings['data']))}.parquet", columns=["example_id"])
        task = stage.rpartition("/")[2]
        ids = tuple(table["example_id"].to_pylist())
        found[task] = Evaluated(facts.get("task", task), facts.get("data", DEMO), settings, ids)
    return found


def only_evaluation(run: Run, name: str) -> Evaluated:
    """The one evaluation of that model. RunError says what to run where there is none, or which there are."""
    found = evaluations(run, name)
    if not found:
        raise RunError(
            f"{run.path}: no evaluation of {name!r} here to take the items from",
            hint=f"spillover evaluate --out {run.path} --name {name}; or give --task and --data",
        )
    if len(found) > 1:
        raise RunError(f"{run.path}: {name!r} was evaluated on {', '.join(found)}", hint="choose one with --task")
    return next(iter(found.values()))


def items_asked_for(run: Run, name: str, task: str | None, data: str | None) -> tuple[str, str]:
    """(task, data): as they were given, else those of the run's evaluation of `name`; the demo data for a task that was
    given alone and not evaluated. RunError where nothing is given and nothing was evaluated."""
    if task is None:
        held = only_evaluation(run, name)
    else:
        held = evaluations(run, name).get(load_task(task).name) or Evaluated(task, DEMO, {}, ())
    return task or held.task, data or held.data


@dataclass(frozen=True)
class Looked:
    """The prompts by language, their label set, and what they were made from."""

    prompts: dict[str, list[Prompt]]
    labels: str
    settings: dict[str, Any]


def choose(
    run: Run,
    name: str,
    task: Task,
    *,
    data: str,
    languages: str | Sequence[str],
    model: str,
    config: ProbeConfig,
    evaluate: EvaluateConfig,
    seed: int,
) -> Looked:
    """`config.items` of the items per language. model: its fingerprint.

    RunError when the run's evaluation is of another model, another wording or other data than these.
    """
    files = language_files(data, task, "test")
    held = evaluations(run, name).get(task.name)
    available = [code for code in files if code in task.wordings]
    among: Collection[str] | None = None
    labels, shots = evaluate.labels, evaluate.shots
    if held:
        codes = [code for code in held.languages if code in available]
        available = list(select_languages(languages, codes, where=f"languages of evaluate/{name}"))
        _check(run, name, held, task, model, {code: hash_files([files[code]]) for code in available})
        labels, shots, among = held.settings["labels"], held.settings["shots"], held.example_ids
    else:
        available = list(select_languages(languages, available))
    codes = list(select_languages(config.languages, available, where="probe.languages"))
    examples: dict[str, list[Example]] = load_parallel(
        data, task, "test", codes, limit=config.items, seed=seed, among=among,
        missing_items=evaluate.missing_items, disagreeing_labels=evaluate.disagreeing_labels,
    )  # fmt: skip
    settings = {
        "data": {code: hash_files([files[code]]) for code in codes},
        "among": None if among is None else hash_of(sorted(among)),
        "labels": labels,
        "shots": shots,
    }
    prompts = {code: render(task, rows, label_set=labels, shots=shots) for code, rows in examples.items()}
    return Looked(prompts, labels, settings)


def _check(run: Run, name: str, held: Evaluated, task: Task, model: str, data: dict[str, str]) -> None:
    own = held.settings
    if own["model"] != model:
        raise RunError(
            f"{run.path}: evaluate/{name} was made by the model {own['model']}, this one is {model}",
            hint="give the --model and --adapter that were evaluated, or another --name",
        )
    if own["wording"] != task.fingerprint:
        raise RunError(
            f"{run.path}: the wording of {task.name} has changed since evaluate/{name}", hint="another --out"
        )
    changed = [code for code, found in data.items() if own["data"][code] != found]
    if changed:
        raise RunError(
            f"{run.path}: evaluate/{name} scored other data in {', '.join(changed)}",
            hint="give the --data that it scored, or another --out",
        )
