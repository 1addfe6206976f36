"""The cells of a sweep as tasks of Ray.

A task is `pipeline.run` in a process of its own. The task of a worker that dies is started again, and resumes from what
is in its run folder. A user's mistake ends its cell alone, and is not tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spillover.core.config import RunConfig
from spillover.core.errors import SpilloverError, first_line
from spillover.core.ray_session import ray_session
from spillover.core.ray_task import Place, relayed, shared_place, use_threads
from spillover.core.types import Progress, no_progress
from spillover.pipeline import run

log = logging.getLogger(__name__)


def run_on_ray(
    cells: Sequence[RunConfig],
    folders: Sequence[Path],
    others: Sequence[Sequence[Path]],
    *,
    progress: Progress = no_progress,
) -> dict[str, SpilloverError]:
    """Run every cell into its folder, as many at a time as Ray has room for; why cells failed, by their names. others:
    for each cell the run folders that it may take scores and trainings over from.

    ConfigError where a cell fits on no node, RunError and MissingExtra as `ray_session`. A bug that ended a cell is
    raised when the others are done.
    """
    failed: dict[str, SpilloverError] = {}
    bugs: list[Exception] = []
    with ray_session(progress) as session, shared_place(folders[0].parent) as place:
        for cell in cells:
            session.room(cell.ray)
        running: dict[Any, str] = {}
        for cell, folder, beside in zip(cells, folders, others, strict=True):
            task = session.task(_run_cell, cell.ray)
            running[task.remote(cell, folder, beside, place, session.messages)] = cell.name
        while running:
            for done in session.wait(list(running)):
                name = running.pop(done)
                try:
                    session.result(done)
                    log.info("%s is finished (%d of %d)", name, len(cells) - len(running), len(cells))
                except SpilloverError as error:
                    failed[name] = error
                    log.error("%s failed: %s", name, error)
                except session.ray.exceptions.RayError as error:
                    bugs.append(error)
                    log.error("%s failed: %s", name, first_line(error))
    if bugs:
        raise bugs[0]
    return failed


def _run_cell(cell: RunConfig, folder: Path, others: Sequence[Path], place: Place, messages: Any) -> None:
    """The task."""
    place.enter()
    use_threads(cell.ray.num_cpus)
    run(cell, folder, other_runs=others, progress=relayed(messages, cell.name))
