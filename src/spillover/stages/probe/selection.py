"""Which items the probe reads: those that the run's evaluation of the same model scored, else the benchmark's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.errors import RunError
from spillover.core.files import hash_of
from spillover.core.runs import EvaluationFolder, Run
from spillover.core.types import Prompt, Task
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.examples import DEMO
from spillover.tasks.wording import load_task


def undefined_reason(task: Task) -> str:
    """Why a task cannot be probed; "" when it can."""
    if task.kind == "labels":
        return ""
    return f"not defined for {task.kind} ({task.name}): the lens looks for label words, and its items have none"


def finished_evaluation(run: Run, name: str, task: str) -> EvaluationFolder | None:
    """The run's evaluation of the model `name` on a task; None where there is none. RunError when it is unfinished."""
    evaluations = [evaluation for evaluation in run.evaluations(name) if evaluation.task == task]
    return _finished(run, evaluations[0]) if evaluations else None


def _finished(run: Run, evaluation: EvaluationFolder) -> EvaluationFolder:
    if not evaluation.finished:
        raise RunError(
            f"{run.path}: evaluate/{evaluation.model}/{evaluation.task} is unfinished",
            hint="rerun `spillover evaluate` to resume it",
        )
    return evaluation


def only_evaluation(run: Run, name: str) -> EvaluationFolder:
    """The only evaluation of the model `name`. RunError where there is none, or several."""
    evaluations = run.evaluations(name)
    if not evaluations:
        raise RunError(
            f"{run.path}: no evaluation of {name!r} to take the items from",
            hint=f"spillover evaluate --out {run.path} --name {name}; or give --task and --data",
        )
    if len(evaluations) > 1:
        tasks = ", ".join(evaluation.task for evaluation in evaluations)
        raise RunError(f"{run.path}: {name!r} was evaluated on {tasks}", hint="choose one with --task")
    return _finished(run, evaluations[0])


def task_and_data(
    run: Run, name: str, task: str | None, data: str | None, wording: str | None = None
) -> tuple[str, str, str | None]:
    """(task, data, language that lends its wording): as given, else those of the run's evaluation of `name`; demo data
    for a task that is given without data and was not evaluated. RunError where no task is given and none was
    evaluated."""
    if task is None:
        evaluation: EvaluationFolder | None = only_evaluation(run, name)
    else:
        evaluation = finished_evaluation(run, name, load_task(task).name)
    facts = evaluation.record["facts"] if evaluation else {}
    task = task or facts.get("task", evaluation.task if evaluation else "")
    return task, data or facts.get("data", DEMO), wording or facts.get("lender")


@dataclass(frozen=True)
class SelectedItems:
    """The prompts by language, their label set, how they are asked, and what they depend on, for the stage's key."""

    prompts: dict[str, list[Prompt]]
    label_set: str
    evaluate: EvaluateConfig
    settings: dict[str, Any]


def select_items(
    run: Run, name: str, benchmark: Benchmark, *, fingerprint: str, config: ProbeConfig, evaluate: EvaluateConfig
) -> SelectedItems:
    """`config.items` of the items per language: of those that the run's evaluation of the model `name` scored, with its
    label set, shots and chat form, else of the benchmark's. fingerprint: the model's.

    RunError when the run's evaluation is of another model, another wording or other data than these.
    """
    label_set, shots = evaluate.labels, evaluate.shots
    evaluated_ids: list[str] | None = None
    evaluation = finished_evaluation(run, name, benchmark.task.name)
    if evaluation:
        settings = evaluation.record["settings"]
        benchmark = benchmark.evaluated_in(settings["data"], where=f"languages of evaluate/{name}")
        _check_settings(run, name, settings, benchmark, fingerprint)
        label_set, shots = settings["labels"], settings["shots"]
        evaluate = _asked_as(run, name, settings, evaluate)
        table = pq.read_table(evaluation.path / f"{next(iter(settings['data']))}.parquet", columns=["example_id"])
        evaluated_ids = table["example_id"].to_pylist()
    benchmark = benchmark.restricted(config.languages, where="probe.languages")
    prompts = benchmark.prompts(label_set, shots, limit=config.items, among=evaluated_ids)
    return SelectedItems(
        prompts,
        label_set,
        evaluate,
        {
            "data": benchmark.hashes(),
            "among": None if evaluated_ids is None else hash_of(sorted(evaluated_ids)),
            "labels": label_set,
            "shots": shots,
        }
        | benchmark.wording_settings(),
    )


def _asked_as(run: Run, name: str, settings: Mapping[str, Any], evaluate: EvaluateConfig) -> EvaluateConfig:
    """`evaluate` with the chat form and system prompt of the run's evaluation. RunError where it names others."""
    evaluated = {"chat": settings.get("chat", "off"), "system_prompt": settings.get("system_prompt")}
    same_form = evaluate.chat in ("auto", evaluated["chat"])
    if not same_form or evaluate.system_prompt not in (None, evaluated["system_prompt"]):
        raise RunError(
            f"{run.path}: evaluate/{name} was made with --chat {evaluated['chat']}, system prompt "
            f"{evaluated['system_prompt']!r}",
            hint="leave --chat and --system-prompt out, or give another --name",
        )
    return evaluate.model_copy(update=evaluated)


def _said(borrowed: Mapping[str, str]) -> str:
    return ", ".join(f"{code} from {lent}" for code, lent in borrowed.items()) or "no language"


def _check_settings(run: Run, name: str, settings: Mapping[str, Any], benchmark: Benchmark, fingerprint: str) -> None:
    if settings["model"] != fingerprint:
        raise RunError(
            f"{run.path}: evaluate/{name} is of the model {settings['model']}, this one is {fingerprint}",
            hint="give the --model and --adapter that were evaluated, or another --name",
        )
    if settings["wording"] != benchmark.task.fingerprint:
        raise RunError(
            f"{run.path}: the wording of {benchmark.task.name} has changed since evaluate/{name}",
            hint="another --out",
        )
    evaluated, opened = settings.get("borrowed_wording", {}), benchmark.borrowed_wording(settings["data"])
    if evaluated != opened:
        raise RunError(
            f"{run.path}: evaluate/{name} borrowed wording for {_said(evaluated)}, this would for {_said(opened)}",
            hint="give the --wording that was evaluated, or another --name",
        )
    changed = [code for code, fingerprint in benchmark.hashes().items() if settings["data"][code] != fingerprint]
    if changed:
        raise RunError(
            f"{run.path}: evaluate/{name} scored other data in {', '.join(changed)}",
            hint="give the --data that it scored, or another --out",
        )
