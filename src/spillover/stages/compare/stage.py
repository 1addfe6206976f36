"""Comparisons in a run folder, over all tasks.

languages.parquet, groups.parquet   with several runs also contrasts.parquet and seeds.parquet
verdict.json                        the sentences, each with its numbers

Where both models were probed, also what goes along with answers that turned (`explain`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spillover.core.config import CompareConfig
from spillover.core.errors import RunError
from spillover.core.files import as_data_error, atomic, hash_of, read_json, read_table, write_json
from spillover.core.runs import Run, existing_run
from spillover.core.types import Evaluation
from spillover.stages.compare.contrasts import TrainedRun, compare_runs
from spillover.stages.compare.flip_analysis import explained
from spillover.stages.compare.result import Comparison, Guard, Sentence, to_plain
from spillover.stages.evaluate.score_tables import read_evaluation

FOLDER = "compare"
TABLES = ("languages", "groups", "contrasts", "seeds")
# What may differ between two runs of one arm: the seed, and what the seed makes of the pairs.
SEEDED = ("seed", "pairs")


def compare_run(
    run: Run,
    before: Sequence[Evaluation],
    after: Sequence[Evaluation],
    *,
    seen: Sequence[str],
    config: CompareConfig,
    seed: int,
    names: tuple[str, str] = ("base", "tuned"),
) -> list[Comparison]:
    """The compare stage: a comparison for each task that both sides have, written and returned. It takes seconds, so it
    is always computed afresh. The runs of `config.against` are read from their folders, under the same names."""
    others = [existing_run(path) for path in config.against]
    places = [one.path.resolve() for one in (run, *others)]
    if twice := [str(one.path) for one in others if places.count(one.path.resolve()) > 1]:
        raise RunError(f"{twice[0]}: given twice", hint="name each run once")
    found = [*_trained(run, before, after, tuple(seen))]
    for other in others:
        old, new = (read_evaluations(other, name) for name in names)
        found += _trained(other, old, new, training_languages(other))
    settings = config.model_dump() | {
        "seen": list(seen),
        "seed": seed,
        "before": {evaluation.task: evaluation.key for evaluation in before},
        "after": {evaluation.task: evaluation.key for evaluation in after},
        "others": {f"{Path(one.name).name} {one.after.task}": one.after.key for one in found},
    }
    with run.stage("compare", settings, replace=True) as stage:
        by_task = _by_task(run, others, found)
        comparisons = [compare_runs(runs, config=config, seed=seed) for runs in by_task.values()]
        comparisons = explained(run, names, comparisons, before, after, config=config, seed=seed)
        write_comparisons(run.path / FOLDER, comparisons)
        stage.facts["tasks"] = [comparison.task for comparison in comparisons]
    return comparisons


def _by_task(run: Run, others: Sequence[Run], found: Sequence[TrainedRun]) -> dict[str, list[TrainedRun]]:
    """The runs by task, `run` first; RunError where one of the others lacks a task of its."""
    tasks = dict.fromkeys(one.after.task for one in found if one.name == str(run.path))
    if not tasks:
        hint = "`spillover evaluate` both models first"
        raise RunError(f"{run.path}: no task was evaluated on both sides", hint=hint)
    by_task = {task: [one for one in found if one.after.task == task] for task in tasks}
    for task, runs in by_task.items():
        if lacking := {str(other.path) for other in others} - {one.name for one in runs}:
            raise RunError(
                f"{', '.join(sorted(lacking))}: {task} was not evaluated there on both sides",
                hint="evaluate it there, or leave that run out",
            )
    return by_task


def compare_folders(folders: Sequence[Path], *, config: CompareConfig, seed: int) -> list[Comparison]:
    """The first run against the others, written into the first one's folder."""
    first = existing_run(folders[0])
    config = config.model_copy(update={"against": [str(folder) for folder in folders[1:]]})
    sides = [read_evaluations(first, name) for name in ("base", "tuned")]
    return compare_run(first, sides[0], sides[1], seen=training_languages(first), config=config, seed=seed)


def _trained(
    run: Run, before: Sequence[Evaluation], after: Sequence[Evaluation], seen: tuple[str, ...]
) -> list[TrainedRun]:
    """One run on each task that both sides have."""
    manifest = run.manifest()
    stages = manifest["stages"]
    build = stages.get("build", {}).get("settings", {})
    train = stages.get("train", {}).get("settings", {})
    recipe = hash_of([_without_seeds(build) | {"count": build.get("pairs")}, _without_seeds(train)])
    by_task = {evaluation.task: evaluation for evaluation in after}
    return [
        TrainedRun(
            str(run.path), str(build.get("arm") or run.path.name), recipe,
            int(train.get("seed", manifest.get("seed", 0))), seen, old, by_task[old.task],
        )
        for old in before
        if old.task in by_task
    ]  # fmt: skip


def _without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in SEEDED}


def read_evaluations(run: Run, name: str) -> list[Evaluation]:
    """All tasks that a run evaluated under a name. RunError when there is none."""
    folders = run.evaluations(name)
    if not folders:
        raise RunError(
            f"{run.path}: no evaluation named {name!r}", hint="`spillover evaluate --name ...`, or --before, --after"
        )
    return [read_evaluation(folder.path) for folder in folders]


def training_languages(run: Run) -> tuple[str, ...]:
    """Languages that the run's training pairs hold as sources; derived from its manifest, never typed again."""
    built = run.manifest()["stages"].get("build", {}).get("facts", {})
    return tuple(built.get("languages", ()))


def write_comparisons(folder: Path, comparisons: Sequence[Comparison]) -> None:
    """Write all comparisons of a run; a column `task` tells them apart. The verdict is written last."""
    import pandas as pd

    for name in TABLES:
        tables = [
            getattr(found, name).assign(task=found.task) for found in comparisons if getattr(found, name) is not None
        ]
        if not tables:
            (folder / f"{name}.parquet").unlink(missing_ok=True)
            continue
        with atomic(folder / f"{name}.parquet") as partial:
            pd.concat(tables, ignore_index=True).to_parquet(partial, index=False)
    rows = [{key: value for key, value in to_plain(found).items() if key not in TABLES} for found in comparisons]
    write_json(folder / "verdict.json", rows)


def read_comparisons(folder: Path) -> list[Comparison]:
    """The comparisons of a run. RunError when it has none, or when another version wrote them; DataError names a
    damaged file."""
    path = folder / "verdict.json"
    if not path.exists():
        raise RunError(f"{folder}: nothing compared yet", hint="`spillover compare` first")
    tables = {name: read_table(own, ("task",)) for name in TABLES if (own := folder / f"{name}.parquet").exists()}
    rows = read_json(path)
    with as_data_error(path):
        return _comparisons(folder, rows, tables)


def _comparisons(folder: Path, rows: Any, tables: Mapping[str, Any]) -> list[Comparison]:
    if any(isinstance(sentence, str) for row in rows for sentence in row["verdict"]):
        raise RunError(f"{folder}: written by an older version", hint="`spillover compare` again; it takes seconds")
    return [
        Comparison(
            task=row["task"],
            label_set=row["label_set"],
            seen=tuple(row["seen"]),
            level=row["level"],
            verdict=tuple(Sentence(**sentence) for sentence in row["verdict"]),
            guard=_guard(row["guard"]),
            **{name: _of_task(table, row["task"]) for name, table in tables.items()},
        )
        for row in rows
    ]


def _of_task(table: Any, task: str) -> Any:
    return table[table["task"] == task].drop(columns="task").reset_index(drop=True)


def _guard(row: Mapping[str, Any] | None) -> Guard | None:
    values: Any = {key: math.nan if value is None else value for key, value in (row or {}).items()}
    return Guard(**values) if values else None
