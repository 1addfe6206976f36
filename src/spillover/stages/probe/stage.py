"""The probe stage: one forward pass per prompt, and from it every table of `<run>/probe/<model>`.

1. The items of the run's evaluation, or of the data where the run has none; the lens's words become their answers.
2. One pass: hidden states go to disk, what the lens sees and what fires beside them (`states.py`).
3. The same pass of the same architecture with random weights, for alignment's null.
4. Tables from what is on disk: lens, PCA, and those of `languages.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.files import hash_of, write_json
from spillover.core.runs import Run
from spillover.core.tables import write_table
from spillover.core.types import Progress, Prompt, ScoredBatch, Task, no_progress
from spillover.models.batching import Plan
from spillover.models.engine import open_engine
from spillover.models.load import Model
from spillover.models.neuron_activations import why_no_neurons
from spillover.models.random_weights import untrained
from spillover.stages.probe.language_tables import RANDOM_WEIGHTS, write_language_tables
from spillover.stages.probe.lens import Lens, measure_batch
from spillover.stages.probe.lens_tables import lens_tables
from spillover.stages.probe.lens_targets import Sought, seek, with_random_words
from spillover.stages.probe.pca import pca_tables
from spillover.stages.probe.selection import select_items
from spillover.stages.probe.state_store import POOLINGS, SavedStates, check_layer, collect
from spillover.tasks.benchmark import Benchmark

log = logging.getLogger(__name__)


def probe(
    run: Run,
    model: Model,
    benchmark: Benchmark,
    *,
    name: str,
    config: ProbeConfig | None = None,
    evaluate: EvaluateConfig | None = None,
    progress: Progress = no_progress,
) -> Path:
    """The probe stage for one model: `<run>/probe/<name>`, computed once. `config.items` items per language, of those
    that the run's evaluation of `name` scored, with its label set and shots; where it has none, of the benchmark's."""
    config, evaluate = config or ProbeConfig(), evaluate or EvaluateConfig()
    task, seed = benchmark.task, benchmark.seed
    every = range(model.layers + 1)
    layers = sorted({check_layer(layer, every) for layer in config.layers}) if config.layers else list(every)
    selected = select_items(run, name, benchmark, fingerprint=model.ref.fingerprint, config=config, evaluate=evaluate)
    settings = config.model_dump() | selected.settings
    settings |= {"task": task.name, "wording": task.fingerprint, "model": model.ref.fingerprint, "seed": seed}
    folder = run.path / "probe" / name
    with run.stage(f"probe/{name}", settings) as stage:
        if stage.finished and (folder / "pca.parquet").exists():
            return folder
        first_pass = _Pass(settings, evaluate, layers, progress)
        lens = _LensPass(model, task, selected.prompts, selected.label_set, config.rule, seed)
        saved = first_pass(model, selected.prompts, folder, f"probe {name}", lens)
        null = None
        if config.random_weights:
            null = first_pass(
                untrained(model, seed), selected.prompts, folder.parent / RANDOM_WEIGHTS, "probe random weights"
            )
        left_out = write_language_tables(
            folder, saved, null, config=config, seed=seed, neurons_unsupported=why_no_neurons(model.module),
            progress=progress,
        )  # fmt: skip
        for table, reason in left_out.items():
            log.warning("%s is left out: %s", table, reason)
        _write_own_tables(folder, saved, lens, seed)
        stage.facts |= {"items": sum(map(len, selected.prompts.values())), "layers": len(layers)}
        stage.facts |= {f"no {table}": reason for table, reason in left_out.items()}
    return folder


class _LensPass:
    """What the lens looks for in every language, and how it reads a batch."""

    def __init__(
        self, model: Model, task: Task, prompts: Mapping[str, list[Prompt]], labels: str, rule: str, seed: int
    ) -> None:
        self.model, self.lens = model, Lens(model)
        self.gold = {own.example_id: own.gold or "" for rows in prompts.values() for own in rows}
        found = {c: seek(model, task, rows, labels, rule, np.random.default_rng(seed)) for c, rows in prompts.items()}
        self.prompts = {code: widened for code, (widened, _, _) in found.items()}
        self.sought: dict[str, Sought] = {code: sought for code, (_, sought, _) in found.items()}
        self.random = {code: words for code, (_, _, words) in found.items()}

    def __call__(self, code: str, plan: Plan, batch: ScoredBatch) -> dict[str, NDArray[Any]]:
        return {**measure_batch(self.lens, self.sought[code], plan, batch)} if batch.states else {}


class _Pass:
    """One pass of a model over all prompts, into `<folder>/states`; found there when it was made already."""

    def __init__(
        self, settings: Mapping[str, Any], evaluate: EvaluateConfig, layers: Sequence[int], progress: Progress
    ) -> None:
        # The states of a batch stand in memory beside its activations.
        budget = max(1, evaluate.batch_tokens // 2)
        self.evaluate = evaluate.model_copy(update={"batch_tokens": budget, "rule": "exact"})
        self.settings, self.layers, self.progress = settings, layers, progress

    def __call__(
        self,
        model: Model,
        prompts: Mapping[str, list[Prompt]],
        folder: Path,
        activity: str,
        lens: _LensPass | None = None,
    ) -> SavedStates:
        engine = open_engine(model, self.evaluate)
        plans = {code: engine.plan(rows) for code, rows in (lens.prompts if lens else prompts).items()}
        if lens:
            budget = self.evaluate.batch_tokens
            plans = {code: with_random_words(plan, lens.random[code], budget) for code, plan in plans.items()}

        def measure(code: str, plan: Plan, batch: ScoredBatch) -> dict[str, NDArray[Any]]:
            active = batch.states.active if batch.states else None
            return ({} if active is None else {"active": active}) | (lens(code, plan, batch) if lens else {})

        key = hash_of(dict(self.settings) | {"model": model.ref.fingerprint, "lens": lens is not None})
        return collect(
            engine, plans, folder / "states", key=key, model=model.ref.fingerprint, task=str(self.settings["task"]),
            layers=self.layers, measure=measure, activity=activity, progress=self.progress,
        )  # fmt: skip


def _write_own_tables(folder: Path, saved: SavedStates, lens: _LensPass, seed: int) -> None:
    every = range(lens.model.layers + 1)
    tables = lens_tables(saved, lens.sought, lens.gold, np.random.default_rng(seed), layers=every)
    for name, table in zip(("lens", "lens_layers", "lens_items"), tables, strict=True):
        write_table(folder / f"{name}.parquet", table)
    words = {code: sought.described(lens.model.tokenizer) for code, sought in lens.sought.items()}
    write_json(folder / "words.json", words)
    points, pairs = pca_tables(
        saved.array, poolings=POOLINGS, layers=saved.layers, languages=saved.languages, example_ids=saved.example_ids,
        lengths=saved.extra("own_tokens"), seed=seed,
    )  # fmt: skip
    write_table(folder / "pca_pairs.parquet", pairs)
    write_table(folder / "pca.parquet", points)
