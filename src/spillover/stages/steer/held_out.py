"""Layers and strength by the scores of items that are then not scored with the intervention.

1. An item is held out by a hash of its id alone: the same items in every language, every run and every method.
2. Every setting scores the held-out items in every language that the intervention changes.
3. The best mean over languages wins: of AUROC for label words, of accuracy for items with answers of their own. The
   first of several equal ones: settings come in the order of layers, then strengths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import Progress, Task
from spillover.models.batching import Plan
from spillover.models.engine import label_scores, open_engine
from spillover.models.intervention import Intervention
from spillover.models.load import Model
from spillover.models.local import LocalEngine
from spillover.stats.summary import summarise_language
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.folds import hash_position

LEAST_ITEMS = 20


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
) -> tuple[Intervention, list[float]]:
    """(the candidate that scores the held-out items best, the score of each). DataError where its measure is undefined.

    One engine scores a language with every candidate in turn, so that a shared prefix that none changes is computed
    once.
    """
    engine = open_engine(model, evaluate)
    languages = [code for code in benchmark.languages if code in candidates[0].tensors]
    if not languages:
        raise ConfigError(
            f"steer.choose: {benchmark.task.name} has none of {', '.join(candidates[0].tensors)}",
            hint="--lang with one of them, or steer.choose: rule",
        )
    table = np.empty((len(candidates), len(languages)))
    prompts = benchmark.prompts(evaluate.labels, evaluate.shots, languages)
    for column, code in enumerate(languages):
        plan = engine.plan([prompt for prompt in prompts[code] if prompt.example_id in set(ids)])
        for row, candidate in enumerate(candidates):
            engine.intervention = candidate
            table[row, column] = _measure(engine, benchmark.task, plan)
            progress("choose layers and strength", column * len(candidates) + row + 1, table.size)
    means = table.mean(axis=1)
    if np.isnan(means).any():
        raise DataError(
            f"{benchmark.task.name}: a held-out label has no item, so AUROC is undefined",
            hint="another steer.held_out, or steer.choose: rule",
        )
    return candidates[int(np.argmax(means))], means.tolist()


def _measure(engine: LocalEngine, task: Task, plan: Plan) -> float:
    summary = summarise_language(label_scores(task, plan.prompts, list(engine.score(plan))))
    return summary.auroc if task.kind == "labels" else summary.accuracy
