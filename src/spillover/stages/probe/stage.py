"""The probe stage: one forward pass per prompt, and from it every table of `<run>/probe/<model>`.

1. Items: those of the run's evaluation, or of the benchmark where there is none.
2. One forward pass: hidden states are saved, with what the logit lens measures and which neurons fire.
3. The same pass of the same architecture with random weights, for the nulls of alignment and language identity.
4. Tables from what is saved: lens, PCA, and those of `language_tables.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.errors import ConfigError
from spillover.core.file_names import check_file_name
from spillover.core.files import hash_of, write_json
from spillover.core.runs import Run, open_run
from spillover.core.tables import write_table
from spillover.core.types import Progress, Prompt, ScoredBatch, no_progress
from spillover.models.batching import Plan
from spillover.models.chat import ChatTemplate, chat_settings, open_chat
from spillover.models.engine import open_engine
from spillover.models.load import Model
from spillover.models.neuron_activations import unsupported_reason
from spillover.models.random_weights import randomly_initialised
from spillover.models.served_model import ServedModel, refuse_server
from spillover.stages.probe.language_tables import RANDOM_WEIGHTS, write_language_tables
from spillover.stages.probe.lens import LogitLens, measure_batch
from spillover.stages.probe.lens_columns import ITEM_COLUMNS, LAYER_COLUMNS, LENS_COLUMNS
from spillover.stages.probe.lens_tables import lens_tables
from spillover.stages.probe.lens_targets import LensTargets, Rule, lens_targets, tokens_of_letters
from spillover.stages.probe.pca import PAIR_COLUMNS, PCA_COLUMNS, pca_tables
from spillover.stages.probe.selection import SelectedItems, select_items, undefined_reason
from spillover.stages.probe.state_store import POOLINGS, SavedStates, check_layer, collect
from spillover.tasks.benchmark import Benchmark, open_benchmark

log = logging.getLogger(__name__)


def probe(
    run: Run | Path | str,
    model: Model | ServedModel,
    benchmark: Benchmark | str,
    *,
    name: str,
    config: ProbeConfig | None = None,
    evaluate: EvaluateConfig | None = None,
    progress: Progress = no_progress,
) -> Path:
    """The probe stage for one model: the folder `<run>/probe/<name>`, computed once. run: or its folder.

    It takes `config.items` items per language of those that the run's evaluation of `name` scored, with its label set,
    shots and chat form; of the benchmark's where there is no evaluation. benchmark: or the name of a task, with its
    demo data.
    """
    if isinstance(model, ServedModel):
        refuse_server("probe")
    check_file_name(name, "name of the probe")
    run = run if isinstance(run, Run) else open_run(run)
    config, evaluate = config or ProbeConfig(), evaluate or EvaluateConfig()
    benchmark = open_benchmark(benchmark, wording=evaluate.wording) if isinstance(benchmark, str) else benchmark
    task, seed = benchmark.task, benchmark.seed
    if reason := undefined_reason(task):
        raise ConfigError(f"probe: {reason}", hint="probe a task with labels: --task")
    model_layers = range(model.layers + 1)
    layers = sorted({check_layer(layer, model_layers) for layer in config.layers or model_layers})
    selected = select_items(run, name, benchmark, fingerprint=model.ref.fingerprint, config=config, evaluate=evaluate)
    settings = config.model_dump() | selected.settings
    settings |= {"task": task.name, "wording": task.fingerprint, "model": model.ref.fingerprint, "seed": seed}
    chat = open_chat(model, selected.evaluate)
    settings |= chat_settings(chat)
    # The model with random weights is asked in the same way, whatever auto says of it.
    evaluate = selected.evaluate.model_copy(update={"chat": chat.form if chat else "off"})
    folder = run.path / "probe" / name
    with run.stage(f"probe/{name}", settings) as stage:
        if stage.finished and (folder / "pca.parquet").exists():
            return folder
        forward = _ForwardPass(settings, evaluate, layers, progress)
        lens = _open_lens(model, benchmark, selected, config.rule, chat)
        saved = forward(model, selected.prompts, folder, f"probe {name}", lens)
        null = None
        if config.random_weights:
            untrained = randomly_initialised(model, seed)
            null = forward(untrained, selected.prompts, folder.parent / RANDOM_WEIGHTS, "probe random weights")
        missing = write_language_tables(
            folder,
            saved,
            null,
            config=config,
            seed=seed,
            neurons_unsupported=unsupported_reason(model.module),
            progress=progress,
        )
        for table, reason in missing.items():
            log.warning("%s is left out: %s", table, reason)
        _write_lens(folder, saved, lens, seed)
        _write_pca(folder, saved, seed)
        stage.facts |= {"items": sum(map(len, selected.prompts.values())), "layers": len(layers)}
        stage.facts |= {f"no {table}": reason for table, reason in missing.items()}
    return folder


@dataclass(frozen=True)
class _LensReading:
    """The logit lens of a model with what it measures: targets by language, gold label by example id."""

    lens: LogitLens
    targets: Mapping[str, LensTargets]
    gold: Mapping[str, str]

    def measure(self, code: str, plan: Plan, batch: ScoredBatch) -> dict[str, NDArray[Any]]:
        return {**measure_batch(self.lens, self.targets[code], plan, batch)} if batch.states else {}


def _open_lens(
    model: Model, benchmark: Benchmark, selected: SelectedItems, rule: Rule, chat: ChatTemplate | None
) -> _LensReading:
    letter_tokens = tokens_of_letters(model.token_bytes)
    # The same generator in every language: words of as many tokens have the same random words.
    targets = {
        code: lens_targets(
            model,
            benchmark.task,
            prompts[0],
            selected.label_set,
            rule,
            letter_tokens,
            np.random.default_rng(benchmark.seed),
            chat,
        )
        for code, prompts in selected.prompts.items()
    }
    gold = {prompt.example_id: prompt.gold or "" for prompts in selected.prompts.values() for prompt in prompts}
    return _LensReading(LogitLens(model), targets, gold)


class _ForwardPass:
    """One pass of a model over all prompts, saved in `<folder>/states`, and read from there when it is complete."""

    def __init__(
        self, settings: Mapping[str, Any], evaluate: EvaluateConfig, layers: list[int], progress: Progress
    ) -> None:
        # The states of a batch are in memory beside its activations.
        budget = max(1, evaluate.batch_tokens // 2)
        self.evaluate = evaluate.model_copy(update={"batch_tokens": budget, "rule": "exact"})
        self.settings, self.layers, self.progress = settings, layers, progress

    def __call__(
        self,
        model: Model,
        prompts: Mapping[str, list[Prompt]],
        folder: Path,
        activity: str,
        lens: _LensReading | None = None,
    ) -> SavedStates:
        engine = open_engine(model, self.evaluate)
        if lens:
            plans = {
                code: targets.plan(engine.plan(targets.prompts(prompts[code])), self.evaluate.batch_tokens)
                for code, targets in lens.targets.items()
            }
        else:
            plans = {code: engine.plan(language_prompts) for code, language_prompts in prompts.items()}

        def measure(code: str, plan: Plan, batch: ScoredBatch) -> dict[str, NDArray[Any]]:
            active = batch.states.active if batch.states else None
            firing = {} if active is None else {"active": active}
            return firing | (lens.measure(code, plan, batch) if lens else {})

        key = hash_of(dict(self.settings) | {"model": model.ref.fingerprint, "lens": lens is not None})
        return collect(
            engine,
            plans,
            folder / "states",
            key=key,
            model=model.ref.fingerprint,
            task=str(self.settings["task"]),
            layers=self.layers,
            measure=measure,
            activity=activity,
            progress=self.progress,
        )


def _write_lens(folder: Path, saved: SavedStates, reading: _LensReading, seed: int) -> None:
    model = reading.lens.model
    rng = np.random.default_rng(seed)
    tables = lens_tables(saved, reading.targets, reading.gold, rng, layers=range(model.layers + 1))
    write_table(folder / "lens.parquet", tables.lens, LENS_COLUMNS)
    write_table(folder / "lens_layers.parquet", tables.layers, LAYER_COLUMNS)
    write_table(folder / "lens_items.parquet", tables.items, ITEM_COLUMNS)
    words = {code: targets.described(model.token_bytes) for code, targets in reading.targets.items()}
    write_json(folder / "words.json", words)


def _write_pca(folder: Path, saved: SavedStates, seed: int) -> None:
    points, pairs = pca_tables(saved.parallel(POOLINGS), seed)
    write_table(folder / "pca_pairs.parquet", pairs, PAIR_COLUMNS)
    write_table(folder / "pca.parquet", points, PCA_COLUMNS)
