"""Measure a language model in many languages, tune it on question translations, and prove what changed.

The public names are resolved when they are first used: `import spillover` loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from spillover.core.errors import missing_extra

if TYPE_CHECKING:
    from spillover.core.config import load_config
    from spillover.models.load import load_model
    from spillover.pipeline import run
    from spillover.stages.audit import audit
    from spillover.stages.build import build_pairs
    from spillover.stages.compare import compare
    from spillover.stages.evaluate.score_tables import read_evaluation
    from spillover.stages.evaluate.stage import evaluate
    from spillover.stages.report import report
    from spillover.stages.train.in_training import in_training_evaluation
    from spillover.stages.train.merging import merge
    from spillover.stages.train.stage import train
    from spillover.stats.summary import summarise
    from spillover.sweep import sweep
    from spillover.tasks.benchmark import open_benchmark
    from spillover.tasks.wording import load_task

__version__ = version("spillover")

_HOMES = {
    "audit": "spillover.stages.audit",
    "build_pairs": "spillover.stages.build",
    "compare": "spillover.stages.compare",
    "evaluate": "spillover.stages.evaluate.stage",
    "in_training_evaluation": "spillover.stages.train.in_training",
    "load_config": "spillover.core.config",
    "load_model": "spillover.models.load",
    "load_task": "spillover.tasks.wording",
    "open_benchmark": "spillover.tasks.benchmark",
    "merge": "spillover.stages.train.merging",
    "read_evaluation": "spillover.stages.evaluate.score_tables",
    "report": "spillover.stages.report",
    "run": "spillover.pipeline",
    "summarise": "spillover.stats.summary",
    "sweep": "spillover.sweep",
    "train": "spillover.stages.train.stage",
}
__all__ = [
    "audit",
    "build_pairs",
    "compare",
    "evaluate",
    "in_training_evaluation",
    "load_config",
    "load_model",
    "load_task",
    "merge",
    "open_benchmark",
    "read_evaluation",
    "report",
    "run",
    "summarise",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spillover' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ImportError as error:
        raise missing_extra(error) or error from None
