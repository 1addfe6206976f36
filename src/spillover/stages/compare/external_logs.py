"""Logs of other tools → evaluations, so that two of their runs are compared by the same tests.

lm-evaluation-harness  samples_<task>_<time>.jsonl, as `--log_samples` writes them; one file, or a folder of them
inspect_ai             a .json log, or an .eval one

Each log is read as its tool meant it: `harness_logs` and `inspect_logs` say how. Where only each item's score is known,
accuracy can be compared, calibration and AUROC cannot. The log of a task that `spillover export lm-eval` wrote is
compared with another such log, or with a run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_files
from spillover.core.runs import existing_run
from spillover.core.types import Evaluation, Experiment, ModelRef
from spillover.stages.compare.harness_logs import read_harness_log
from spillover.stages.compare.inspect_logs import inspect_scores, read_inspect_log
from spillover.stages.compare.logged_scores import LoggedScores, score_stem
from spillover.stages.compare.stage import read_evaluations
from spillover.stages.compare.task_names import tasks_and_languages

SAMPLES = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d\-.:]+)?$")
HINT = "give a samples_*.jsonl of --log_samples, a folder of them, or an inspect_ai log (.json or .eval)"

Tasks = Mapping[str, Mapping[str, LoggedScores]]
"""By task, by language."""


@dataclass(frozen=True)
class ToolLog:
    """One side. without: names of tasks that have no score of the wanted name."""

    model: ModelRef
    tasks: Tasks
    without: tuple[str, ...] = ()


def is_log(path: Path) -> bool:
    """Whether a path looks like another tool's log, rather than a run folder."""
    if path.is_dir():
        return any(path.rglob("samples_*.jsonl"))
    return path.suffix in (".jsonl", ".json", ".eval")


def read_logs(path: Path, *, metric: str | None = None) -> list[Evaluation]:
    """The evaluations in a log, one per task; tasks whose names hold a language are languages of one task.

    metric: which of the log's scores counts, where it has several. DataError names file and line.
    """
    log = _read(path, metric)
    return [_evaluation(log, task, metric) for task in log.tasks]


def read_log_pairs(before: Path, after: Path, *, metric: str | None = None) -> list[tuple[Evaluation, Evaluation]]:
    """(before, after) of each task that both logs have. The notes say which tasks one has alone, and how many prompts
    differ.

    DataError when they have none in common, or when they were scored by different scores.
    """
    old, new = _read(before, metric), _read(after, metric)
    shared = [task for task in old.tasks if task in new.tasks]
    if not shared:
        listed = [", ".join(side.tasks) for side in (old, new)]
        raise DataError(f"{before} has {listed[0]}, {after} has {listed[1]}", hint="run both on one task")
    pairs = []
    for task in shared:
        sides = _evaluation(old, task, metric), _evaluation(new, task, metric)
        first, second = (next(iter(side.tasks[task].values())).metric for side in (old, new))
        if not _same_score(first, second):
            raise DataError(
                f"{task}: {before} is read by {first}, {after} by {second}", hint="choose one of both with --metric"
            )
        notes = _prompt_notes(old.tasks[task], new.tasks[task])
        pairs.append((_with_notes(sides[0], notes, old.tasks, shared), _with_notes(sides[1], notes, new.tasks, shared)))
    return pairs


def read_log_and_run(
    before: Path, after: Path, *, names: tuple[str, str], metric: str | None = None
) -> list[tuple[Evaluation, Evaluation]]:
    """(before, after) of each task that a log and a run both have; one of the paths is the run's folder. names: of the
    run's evaluation where it is before, and where it is after.

    DataError when they have no task in common. RunError when the run has no evaluation of that name.
    """
    sides = [
        _by_task(read_logs(path, metric=metric) if is_log(path) else read_evaluations(existing_run(path), name))
        for path, name in zip((before, after), names, strict=True)
    ]
    shared = [task for task in sides[0] if task in sides[1]]
    if not shared:
        listed = [", ".join(side) for side in sides]
        raise DataError(
            f"{before} has {listed[0]}, {after} has {listed[1]}",
            hint="log the tasks that `spillover export lm-eval` writes",
        )
    return [(_with_notes(sides[0][task], (), sides[0], shared), _with_notes(sides[1][task], (), sides[1], shared))
            for task in shared]  # fmt: skip


def _by_task(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    return {evaluation.task: evaluation for evaluation in evaluations}


def _same_score(first: str, second: str) -> bool:
    """Whether two names are one score; a filter or reducer on one side alone, as with more epochs there, is noted."""
    same_variant = first == second or first == score_stem(first) or second == score_stem(second)
    return score_stem(first) == score_stem(second) and same_variant


def _prompt_notes(before: Mapping[str, LoggedScores], after: Mapping[str, LoggedScores]) -> tuple[str, ...]:
    """A note on the items that both sides were asked in other words."""
    counts: Counter[bool] = Counter()
    for code, logged in before.items():
        others = after[code].prompts if code in after else {}
        counts.update(others[item] != prompt for item, prompt in logged.prompts.items() if item in others)
    reason = "other shots, wording or chat template"
    return (f"{counts[True]} of {counts.total()} prompts differ: {reason}",) if counts[True] else ()


def _with_notes(
    evaluation: Evaluation, notes: tuple[str, ...], tasks: Iterable[str], shared: Sequence[str]
) -> Evaluation:
    """With further notes, and one on those of this side's tasks that the other lacks."""
    if alone := [task for task in tasks if task not in shared]:
        notes += (f"not compared, as the other side lacks them: {', '.join(alone)}",)
    return replace(evaluation, notes=evaluation.notes + notes)


def _read(path: Path, metric: str | None) -> ToolLog:
    if path.suffix in (".json", ".eval") and not path.is_dir():
        log = read_inspect_log(path)
        task, code = tasks_and_languages([log.task])[log.task]
        scores = {task: {code: inspect_scores(log, code, metric)}}
        return ToolLog(ModelRef(log.model, None, None, hash_files([path])), scores)
    files = sorted(path.rglob("samples_*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{path}: no samples found", hint=HINT)
    names = {file: match["task"] if (match := SAMPLES.match(file.stem)) else file.stem for file in files}
    split = tasks_and_languages(dict.fromkeys(names.values()))
    tasks: dict[str, dict[str, LoggedScores]] = {}
    refused: dict[str, ConfigError] = {}
    for file, name in names.items():
        task, code = split[name]
        try:
            logged = read_harness_log(file, code, metric)
        except ConfigError as error:  # it lacks the wanted score, which other tasks may have
            refused[name] = error
            continue
        if logged.exported is not None:
            task, code = logged.exported.task, logged.exported.language
        if code in tasks.get(task, {}):
            raise DataError(f"{file}: duplicate {task} {code}", hint="keep the newer one")
        tasks.setdefault(task, {})[code] = logged
    if not tasks:
        raise next(iter(refused.values()))
    return ToolLog(ModelRef(path.name, None, None, hash_files(files)), tasks, tuple(refused))


def _evaluation(log: ToolLog, task: str, metric: str | None) -> Evaluation:
    """One task of a log. DataError when its languages were scored by different scores."""
    languages = log.tasks[task]
    metrics = {code: logged.metric for code, logged in languages.items()}
    if len(set(metrics.values())) > 1:
        listed = ", ".join(f"{code} by {name}" for code, name in metrics.items())
        raise DataError(f"{log.model.name}: {task} is scored in {listed}", hint="choose one with --metric")
    scores = {code: logged.scores for code, logged in languages.items()}
    notes = _notes_by_language(languages)
    if log.without:
        notes += (f"not compared, as they have no {metric}: {', '.join(log.without)}",)
    experiment = _experiment(languages)
    label_set = experiment.labels if experiment else "log"
    return Evaluation(log.model, task, label_set, log.model.fingerprint, scores, experiment, notes)


def _experiment(languages: Mapping[str, LoggedScores]) -> Experiment | None:
    """How an exported task was made; None for another one, or where its languages were made differently."""
    made = {logged.exported.experiment if logged.exported else None for logged in languages.values()}
    return made.pop() if len(made) == 1 else None


def _notes_by_language(languages: Mapping[str, LoggedScores]) -> tuple[str, ...]:
    """Each note once, with the languages that it holds for where it does not hold for all."""
    codes: dict[str, list[str]] = {}
    for code, logged in languages.items():
        for note in logged.notes:
            codes.setdefault(note, []).append(code)
    return tuple(note if len(held) == len(languages) else f"{' '.join(held)}: {note}" for note, held in codes.items())
