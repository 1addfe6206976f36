"""A run folder: its manifest, which stages are finished and from what, and its log.

run.json      versions, host, seed, git, hashes, and the state of every stage
config.yaml   the resolved config of a `spillover run`
log.jsonl     one event a line
run.lock      who is writing to the folder, while somebody is

A stage is recorded with a key, the hash of everything it was made from. The same key again means: finished, skip.
Another key under the same name means: this folder holds something else, and nothing is touched. What another run
finished with the same key can be taken over from there.

One process at a time writes to a run folder (`Run.locked`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from spillover.core.dotted_keys import dotted
from spillover.core.errors import DataError, RunError, first_problem
from spillover.core.files import PARTIAL, append_line, atomic_folder, hash_of, read_json, remove_partials, write_json
from spillover.core.locks import locked

log = logging.getLogger(__name__)

MANIFEST = "run.json"
LOCK = "run.lock"
PACKAGES = ("spillover", "torch", "transformers", "peft", "accelerate", "numpy", "pandas", "scipy", "pyarrow")


@dataclass
class Stage:
    """One stage of a run while it works. `facts` goes into the manifest when it is finished."""

    name: str
    finished: bool
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationFolder:
    """One evaluation in a run folder: the model's name in the run (base, tuned, ...), the task's name, the folder with
    a table for each language, and what the manifest records of it (empty where it records nothing)."""

    model: str
    task: str
    path: Path
    record: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether every language was scored."""
        return bool(self.record.get("state") == "done")

    @property
    def tables(self) -> list[Path]:
        """The tables of scores that are there, one for each language."""
        return sorted(self.path.glob("*.parquet"))


@dataclass(frozen=True)
class Run:
    """One run folder. Make it with `open_run`."""

    path: Path

    def evaluations(self, model: str | None = None) -> list[EvaluationFolder]:
        """Every evaluation of the run, or those of one model by its name in the run, by model and task: those that the
        manifest records and those whose tables are there."""
        stages = self.manifest()["stages"]
        recorded = {stage for stage in stages if stage.startswith("evaluate/")}
        present = {path.parent.relative_to(self.path).as_posix() for path in self.path.glob("evaluate/*/*/*.parquet")}
        folders = []
        for stage in sorted(recorded | present):
            _, name, task = stage.split("/", 2)
            if model in (None, name):
                folders.append(EvaluationFolder(name, task, self.path / stage, stages.get(stage, {})))
        return folders

    def manifest(self) -> dict[str, Any]:
        """run.json as it stands now; a new one where nothing was written yet. DataError when it is damaged."""
        path = self.path / MANIFEST
        return _checked(path, read_json(path)) if path.exists() else _new_manifest()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block no other process writes to this folder. RunError says who does when somebody does. What a
        killed process left half-written is removed first. Of torchrun's processes only the first one writes, and
        locks."""
        if not first_process():
            yield
            return
        with locked(self.path / LOCK) as outermost:
            if outermost:
                remove_partials(self.path)
            yield

    def update(self, **values: Any) -> None:
        """Set keys of the manifest, atomically."""
        with self.locked():
            write_json(self.path / MANIFEST, self.manifest() | values)

    def log(self, event: str, **facts: Any) -> None:
        """Append one event to log.jsonl."""
        row = {"time": _now(), "event": event} | facts
        append_line(self.path / "log.jsonl", json.dumps(row, ensure_ascii=False, default=str))

    def check_settings(self, stage: str, settings: Mapping[str, Any]) -> str:
        """The key of these settings. RunError when the folder holds this stage made with others."""
        key = hash_of(settings)
        recorded = self.manifest()["stages"].get(stage)
        if recorded and recorded["key"] != key:
            raise RunError(
                f"{self.path}: holds {stage!r} made with other settings: {_difference(recorded['settings'], settings)}",
                hint="choose another folder, or delete this one",
            )
        return key

    @contextlib.contextmanager
    def stage(
        self,
        name: str,
        settings: Mapping[str, Any],
        *,
        replace: bool = False,
        other_runs: Sequence[Path] = (),
        not_taken: Sequence[str] = (),
    ) -> Iterator[Stage]:
        """Work on a stage, with the folder locked; `finished` says that it is done already. When the block ends well,
        it is recorded.

        replace: a stage that is cheap to make again may take the place of one with other settings.
        other_runs: run folders; where one has finished this stage with these settings, its files are copied. not_taken:
        names of files and folders in the stage's folder that are not.
        """
        with self.locked():
            key = hash_of(settings) if replace else self.check_settings(name, settings)
            if not self._record_of_finished(name, key):
                self._take_over(name, key, other_runs, not_taken)
            with self._stage(name, settings, key) as stage:
                yield stage

    def _take_over(self, name: str, key: str, other_runs: Sequence[Path], not_taken: Sequence[str]) -> None:
        """Copy a stage from the first run that finished it with this key. It is recorded with the name of that run,
        whose time it keeps."""
        for other in map(Run, other_runs):
            record: dict[str, Any] = {}
            with contextlib.suppress(DataError):  # a damaged run is no reason to stop here
                record = other._record_of_finished(name, key)
            if record and (other.path / name).is_dir():
                log.info("%s: taken over from %s, which made it from the same inputs", name, other.path)
                with atomic_folder(self.path / name) as partial:
                    ignore = shutil.ignore_patterns(*not_taken)
                    shutil.copytree(other.path / name, partial, dirs_exist_ok=True, ignore=ignore)
                self._record(name, record | {"taken_over_from": other.path.name})
                self.log("taken over", stage=name, run=other.path.name)
                return

    def _record_of_finished(self, name: str, key: str) -> dict[str, Any]:
        """What the manifest records of a stage that is done, made with settings of this key; empty where it is not."""
        recorded: dict[str, Any] = self.manifest()["stages"].get(name, {})
        return recorded if recorded.get("state") == "done" and recorded.get("key") == key else {}

    @contextlib.contextmanager
    def _stage(self, name: str, settings: Mapping[str, Any], key: str) -> Iterator[Stage]:
        finished = self._record_of_finished(name, key)
        stage = Stage(name, finished=bool(finished), facts=dict(finished.get("facts", {})))
        if stage.finished:
            yield stage
            return
        started = time.monotonic()
        record = {"key": key, "settings": dict(settings), "state": "started", "started": _now()}
        self._record(name, record)
        self.log("started", stage=name)
        yield stage
        seconds = round(time.monotonic() - started, 1)
        self._record(name, record | {"state": "done", "seconds": seconds, "facts": stage.facts})
        self.log("done", stage=name, seconds=seconds, **stage.facts)

    def _record(self, name: str, record: Mapping[str, Any]) -> None:
        self.update(stages=self.manifest()["stages"] | {name: dict(record)})


class StageRecord(BaseModel):
    """One stage in the manifest. A stage without a state is not done."""

    model_config = ConfigDict(extra="allow")
    key: str = ""
    state: str = ""
    settings: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    seconds: float | None = None


class Manifest(BaseModel):
    """What must be as it was written in run.json; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")
    created: str
    versions: dict[str, str]
    host: dict[str, str | int | None]
    stages: dict[str, StageRecord]


def _checked(path: Path, value: Any) -> dict[str, Any]:
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        problem = first_problem(error.errors())
        raise DataError(f"{path}: damaged: {problem}", hint="restore it, or start again in another folder") from None
    return manifest.model_dump()


def first_process() -> bool:
    """Whether this is the process that writes files and logs: the only one, or rank 0 of torchrun."""
    return os.environ.get("RANK", "0") == "0"


def open_run(path: Path | str) -> Run:
    """The run in a folder, new or existing; nothing is written yet. RunError when the folder holds something else."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: is a file, not a run folder", hint="choose another --out")
    if not (path / MANIFEST).exists():
        others = sorted(item.name for item in path.iterdir()) if path.exists() else []
        # A process that was killed before it wrote the manifest, or that is about to write it.
        others = [name for name in others if name != LOCK and not name.endswith(PARTIAL)]
        if others:
            raise RunError(
                f"{path}: not empty and not a run folder (it holds {', '.join(others[:3])})",
                hint="choose another --out",
            )
    return Run(path)


def existing_run(path: Path | str) -> Run:
    """The run in an existing run folder. RunError when there is none."""
    if not (Path(path) / MANIFEST).is_file():
        raise RunError(f"{path}: not a run folder ({MANIFEST} is missing)", hint="`spillover ls runs` lists the runs")
    return Run(Path(path))


def _new_manifest() -> dict[str, Any]:
    return {
        "schema": 1,
        "created": _now(),
        "versions": _versions(),
        "host": {
            "python": platform.python_version(),
            "system": platform.system(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
        "git": _git_commit(),
        "stages": {},
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _git_commit() -> str | None:
    """The commit of the folder that the command was run from, if it is a checkout."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _difference(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The settings that differ, as `rank: 8 → 16`; nested ones by dotted key."""
    before, after = dotted(recorded), dotted(json.loads(json.dumps(wanted, default=str)))
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    return ", ".join(f"{key}: {before.get(key)} → {after.get(key)}" for key in changed[:5]) or "none that can be shown"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
