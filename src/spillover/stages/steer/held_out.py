"""Layers and strength by the scores of items that are then not scored with the intervention.

1. An item is held out by a hash of its id alone: the same items in every language, every run and every method.
2. Every setting scores the held-out items in every language that the intervention changes.
3. The best mean over languages wins, of the run's primary measure: unless it declares another, AUROC for label words
   and accuracy for items with answers of their own. The first of several equal ones: settings come in the order of
   layers, then strengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spillover.core.config import CompareConfig, EvaluateConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import Primary, Progress, Task
from spillover.models.batching import Plan
from spillover.models.engine import label_scores, open_engine
from spillover.models.intervention import Intervention
from spillover.models.load import Model
from spillover.models.local import LocalEngine
from spillover.stats.summary import Summary, summarise_language
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.folds import hash_position

LEAST_ITEMS = 20
METRICS: Mapping[Primary, str] = {"auroc": "auroc", "calibrated": "calibrated_accuracy", "accuracy": "accuracy"}
"""What a `Summary` calls each measure."""


def held_out_ids(benchmark: Benchmark, share: float) -> tuple[str, ...]:
    """The ids of the items that are held out, of those that the benchmark scores. ConfigError where fewer than 20 are
    held out, or left to score, in some language."""
    chosen: dict[str, None] = {}
    for code, rows in benchmark.examples().items():
        held = [row.id for row in rows if hash_position(row.id) < share]
        for count, what in ((len(held), "held out"), (len(rows) - len(held), "left to score")):
            if count < LEAST_ITEMS:
                raise ConfigError(
                    f"steer.held_out: {share:g} of the {len(rows)} items of {benchmark.task.name} in {code}: {count} "
                    f"{what}, at least {LEAST_ITEMS} are needed",
                    hint="another share, more items (--data, a higher --limit), or steer.choose: rule",
                )
        chosen.update(dict.fromkeys(held))
    return tuple(chosen)


def choose(
    model: Model,
    benchmark: Benchmark,
    ids: Sequence[str],
    candidates: Sequence[Intervention],
    evaluate: EvaluateConfig,
    progress: Progress,
    compare: CompareConfig | None = None,
) -> tuple[Intervention, list[float], str]:
    """(the candidate that scores the held-out items best, the score of each, the name of the metric that these are).

    compare: its primary measure, and its fallback where that is undefined. DataError where neither is defined.
    One engine scores a language with every candidate in turn, so that a shared prefix that none changes is computed
    once.
    """
    compare = compare or CompareConfig()
    metrics = metrics_of(benchmark.task, compare)
    engine = open_engine(model, evaluate)
    languages = [code for code in benchmark.languages if code in candidates[0].tensors]
    if not languages:
        raise ConfigError(
            f"steer.choose: {benchmark.task.name} has none of {', '.join(candidates[0].tensors)}",
            hint="--lang with one of them, or steer.choose: rule",
        )
    table = np.empty((len(metrics), len(candidates), len(languages)))
    reasons = []
    prompts = benchmark.prompts(evaluate.labels, evaluate.shots, languages)
    for column, code in enumerate(languages):
        plan = engine.plan([prompt for prompt in prompts[code] if prompt.example_id in set(ids)])
        for row, candidate in enumerate(candidates):
            engine.intervention = candidate
            summary = _summary(engine, benchmark.task, plan, compare)
            table[:, row, column] = [getattr(summary, metric) for metric in metrics]
            reasons += [summary.reason] * bool(summary.reason)
            progress("choose layers and strength", column * len(candidates) + row + 1, len(candidates) * len(languages))
    for metric, means in zip(metrics, table.mean(axis=2), strict=True):
        if not np.isnan(means).any():
            return candidates[int(np.argmax(means))], means.tolist(), metric
    raise DataError(
        f"{benchmark.task.name}: {metrics[0].replace('_', ' ')} of held-out items is undefined: {reasons[0]}",
        hint="another steer.held_out, compare.fallback, or steer.choose: rule",
    )


def metrics_of(task: Task, compare: CompareConfig) -> list[str]:
    """The metrics to choose by, as a `Summary` calls them: of `compare.primary`, then of its fallback. ConfigError
    where the calibration needs inputs that are not scored with held-out items."""
    primary = compare.primary
    if primary == "auto":
        primary = "auroc" if task.kind == "labels" else "accuracy"
    if primary == "calibrated" and compare.calibration in ("contextual", "pmi"):
        raise ConfigError(
            f"steer.choose: held-out items are not calibrated by compare.calibration {compare.calibration}, which "
            "compare.primary calibrated needs",
            hint="compare.calibration: batch, another compare.primary, or steer.choose: rule",
        )
    return [METRICS[primary], *([METRICS[compare.fallback]] if compare.fallback else [])]


def _summary(engine: LocalEngine, task: Task, plan: Plan, compare: CompareConfig) -> Summary:
    scores = label_scores(task, plan.prompts, list(engine.score(plan)))
    return summarise_language(scores, calibration=compare.calibration, length=compare.length)
