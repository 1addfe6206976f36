"""The primary measure that a run declares, in run.json, before anything of it is scored.

A measure that was chosen with the scores in view is no test: of three measures, the best one rises by chance too often.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from spillover.core.config import CompareConfig
from spillover.core.errors import RunError
from spillover.core.runs import Run
from spillover.core.types import Fallback, Primary

KEY = "primary"


@dataclass(frozen=True)
class Declaration:
    """What a run declares: `compare.primary` and `compare.fallback`."""

    primary: Primary
    fallback: Fallback | None


def declare_measure(run: Run, config: CompareConfig) -> None:
    """Record the config's primary measure in the run, where nothing was scored yet; `auto` takes no declaration back.

    A run that has scores keeps its declaration, or its lack of one, which `auto` asks for. RunError when the config
    names another measure.
    """
    wanted, recorded = Declaration(config.primary, config.fallback), declared_measure(run)
    automatic = wanted == Declaration("auto", None)
    if not _has_scores(run):
        if wanted != recorded and not (recorded and automatic):
            run.update(**{KEY: asdict(wanted)})
            run.log("declared", **asdict(wanted))
        return
    if wanted != recorded and not automatic:
        what = f"declares {_text(recorded)}" if recorded else "declares no primary measure"
        raise RunError(
            f"{run.path}: {what}, and has scores already: {_text(wanted)} cannot be declared any more",
            hint=f"`spillover compare --primary {wanted.primary}` says that it was chosen after scoring",
        )


def declared_measure(run: Run) -> Declaration | None:
    """What the run declared before it was scored; None where it declared nothing, as runs of earlier versions."""
    recorded = run.manifest().get(KEY)
    return Declaration(**recorded) if recorded else None


def _has_scores(run: Run) -> bool:
    """Whether anything was scored: for an evaluation, or to choose an intervention's settings on held-out items."""
    stages = run.manifest()["stages"].items()
    chose = (stage for name, stage in stages if name.startswith("steer/") and stage["state"] == "done")
    return bool(run.evaluations()) or any(stage["settings"].get("choose") == "held-out" for stage in chose)


def asked_measure(config: CompareConfig, declared: Declaration | None) -> Declaration:
    """What is gone by: the config's measure, or in the place of `auto` that which the run declares."""
    if declared and config.primary == "auto":
        return Declaration(declared.primary, config.fallback or declared.fallback)
    return Declaration(config.primary, config.fallback)


def _text(declaration: Declaration) -> str:
    fallback = f" with compare.fallback {declaration.fallback}" if declaration.fallback else ""
    return f"compare.primary {declaration.primary}{fallback}"
