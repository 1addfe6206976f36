"""Comparisons in a run folder: languages.parquet, groups.parquet and verdict.json, over all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from spillover.compare.paired import Comparison, compare
from spillover.core.config import CompareConfig
from spillover.core.errors import RunError
from spillover.core.files import atomic, read_json, write_json
from spillover.core.runs import Run
from spillover.core.types import Evaluation

FOLDER = "compare"


def compare_run(
    run: Run,
    before: Sequence[Evaluation],
    after: Sequence[Evaluation],
    *,
    seen: Sequence[str],
    config: CompareConfig,
    seed: int,
) -> list[Comparison]:
    """The compare stage: a comparison for each task that both sides have, written and returned. It takes seconds, so it
    is always computed afresh."""
    by_task = {evaluation.task: evaluation for evaluation in after}
    settings = config.model_dump() | {
        "seen": list(seen),
        "seed": seed,
        "before": {evaluation.task: evaluation.key for evaluation in before},
        "after": {evaluation.task: evaluation.key for evaluation in after},
    }
    with run.stage("compare", settings, replace=True) as stage:
        comparisons = [
            compare(old, by_task[old.task], seen=seen, config=config, seed=seed)
            for old in before
            if old.task in by_task
        ]
        if not comparisons:
            raise RunError(
                f"{run.path}: no task was evaluated on both sides", hint="`spillover evaluate` both models first"
            )
        write_comparisons(run.path / FOLDER, comparisons)
        stage.facts["tasks"] = [comparison.task for comparison in comparisons]
    return comparisons


def training_languages(run: Run) -> tuple[str, ...]:
    """Languages that the run's training pairs hold, on either side; derived from its manifest, never typed again."""
    built = run.manifest()["stages"].get("build", {}).get("facts", {})
    return tuple(built.get("languages", ()))


def write_comparisons(folder: Path, comparisons: Sequence[Comparison]) -> None:
    """Write all comparisons of a run; a column `task` tells them apart."""
    import pandas as pd

    for name in ("languages", "groups"):
        tables = [getattr(comparison, name).assign(task=comparison.task) for comparison in comparisons]
        with atomic(folder / f"{name}.parquet") as partial:
            pd.concat(tables, ignore_index=True).to_parquet(partial, index=False)
    rows = [
        {key: value for key, value in asdict(comparison).items() if key not in ("languages", "groups")}
        for comparison in comparisons
    ]
    write_json(folder / "verdict.json", rows)


def read_comparisons(folder: Path) -> list[Comparison]:
    """The comparisons of a run. RunError when it has none."""
    import pandas as pd

    if not (folder / "verdict.json").exists():
        raise RunError(f"{folder}: nothing compared yet", hint="`spillover compare` first")
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("languages", "groups")}
    return [
        Comparison(
            task=row["task"],
            label_set=row["label_set"],
            seen=tuple(row["seen"]),
            level=row["level"],
            verdict=tuple(row["verdict"]),
            **{
                name: table[table["task"] == row["task"]].drop(columns="task").reset_index(drop=True)
                for name, table in tables.items()
            },
        )
        for row in read_json(folder / "verdict.json")
    ]
