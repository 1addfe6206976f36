"""Measure a language model in many languages, tune it on question translations, and prove what changed.

The public names are resolved when they are first used: `import spillover` loads no torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from spillover.core.errors import missing_extra

if TYPE_CHECKING:
    from spillover.audit.checks import audit
    from spillover.build.pairs import build_pairs
    from spillover.compare.paired import compare
    from spillover.core.config import load_config
    from spillover.evaluate.score import evaluate
    from spillover.evaluate.summary import summarise
    from spillover.evaluate.tables import read_evaluation
    from spillover.models.load import load_model
    from spillover.pipeline import run
    from spillover.report.page import report
    from spillover.tasks.wording import load_task
    from spillover.train.lora import train
    from spillover.train.merge import merge
    from spillover.watch import watch

__version__ = version("spillover")

_HOMES = {
    "audit": "spillover.audit.checks",
    "build_pairs": "spillover.build.pairs",
    "compare": "spillover.compare.paired",
    "evaluate": "spillover.evaluate.score",
    "load_config": "spillover.core.config",
    "load_model": "spillover.models.load",
    "load_task": "spillover.tasks.wording",
    "merge": "spillover.train.merge",
    "read_evaluation": "spillover.evaluate.tables",
    "report": "spillover.report.page",
    "run": "spillover.pipeline",
    "summarise": "spillover.evaluate.summary",
    "train": "spillover.train.lora",
    "watch": "spillover.watch",
}
__all__ = [
    "audit",
    "build_pairs",
    "compare",
    "evaluate",
    "load_config",
    "load_model",
    "load_task",
    "merge",
    "read_evaluation",
    "report",
    "run",
    "summarise",
    "train",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spillover' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ImportError as error:
        raise missing_extra(error) or error from None


class _Package(ModuleType):
    """A stage's function and its folder have one name. Importing the folder would put the module in the
    function's place (`spillover.train` would stop being callable), so that one assignment is passed over."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
