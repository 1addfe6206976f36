"""Measure a language model in many languages, tune it on question translations, and prove what changed.

The public names are resolved when they are first used: `import spillover` loads no torch.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names

if TYPE_CHECKING:
    from spillover.core.config import load_config
    from spillover.models.load import load_model
    from spillover.pipeline import run
    from spillover.stages.alternatives import alternatives, translate_items
    from spillover.stages.audit import audit
    from spillover.stages.build import build_pairs
    from spillover.stages.compare import compare
    from spillover.stages.evaluate import evaluate, read_evaluation
    from spillover.stages.probe import probe, top_tokens
    from spillover.stages.report import findings, read_figures, report
    from spillover.stages.steer import steer
    from spillover.stages.train import in_training_evaluation, merge, train
    from spillover.stages.translate import translate_questions
    from spillover.stats.summary import summarise
    from spillover.sweep import sweep
    from spillover.tasks.benchmark import open_benchmark
    from spillover.tasks.wording import load_task

__version__ = version("spillover")

__all__ = [
    "alternatives",
    "audit",
    "build_pairs",
    "compare",
    "evaluate",
    "findings",
    "in_training_evaluation",
    "load_config",
    "load_model",
    "load_task",
    "merge",
    "open_benchmark",
    "probe",
    "read_evaluation",
    "read_figures",
    "report",
    "run",
    "steer",
    "summarise",
    "sweep",
    "top_tokens",
    "train",
    "translate_items",
    "translate_questions",
]

__getattr__ = lazy_names(
    __name__,
    {
        "alternatives": "spillover.stages.alternatives",
        "audit": "spillover.stages.audit",
        "build_pairs": "spillover.stages.build",
        "compare": "spillover.stages.compare",
        "evaluate": "spillover.stages.evaluate",
        "findings": "spillover.stages.report",
        "in_training_evaluation": "spillover.stages.train",
        "load_config": "spillover.core.config",
        "load_model": "spillover.models.load",
        "load_task": "spillover.tasks.wording",
        "open_benchmark": "spillover.tasks.benchmark",
        "probe": "spillover.stages.probe",
        "merge": "spillover.stages.train",
        "read_evaluation": "spillover.stages.evaluate",
        "read_figures": "spillover.stages.report",
        "report": "spillover.stages.report",
        "run": "spillover.pipeline",
        "steer": "spillover.stages.steer",
        "summarise": "spillover.stats.summary",
        "sweep": "spillover.sweep",
        "top_tokens": "spillover.stages.probe",
        "train": "spillover.stages.train",
        "translate_items": "spillover.stages.alternatives",
        "translate_questions": "spillover.stages.translate",
    },
)
