"""Parallel text and a base model → an intervention and its nulls, each a folder that `evaluate --steer` takes.

1. Read the parallel sentences; those that are scored are refused.
2. One forward pass over them: each sentence's mean state at every layer.
3. Layers: as given, by retrieval on these sentences, or with the strength by held-out items.
4. The method's vectors or maps at these layers, and its nulls with the same layers, strength and positions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from spillover.core.config import CompareConfig, EvaluateConfig, SteerConfig
from spillover.core.declared_measure import asked_measure, declare_measure, declared_measure
from spillover.core.errors import ConfigError
from spillover.core.file_names import check_file_name
from spillover.core.files import hash_of
from spillover.core.runs import open_run
from spillover.core.types import Progress, no_progress
from spillover.models.intervention import DESCRIPTION, Base, HeldOut, Intervention, null_name, write_intervention
from spillover.models.load import Model
from spillover.models.served_model import ServedModel, refuse_server
from spillover.stages.steer.held_out import choose, held_out_ids, metrics_of
from spillover.stages.steer.layer_rule import layers_by_rule, retrieval_by_layer
from spillover.stages.steer.methods import METHODS
from spillover.stages.steer.parallel_text import ParallelText, read_parallel_text, text_benchmark
from spillover.stages.steer.recipe import Recipe, with_facts
from spillover.stages.steer.text_states import TextStates, shared_states
from spillover.tasks.benchmark import Benchmark, open_benchmark

log = logging.getLogger(__name__)

SHARED_SECONDS = "shared_seconds"
"""The fact of the stage that says how long an earlier call computed what this one took over from it."""

# They decide which sentences there are, whose hash is a setting.
NOT_SETTINGS = {"text", "questions", "languages", "sentences", "overlap"}


def steer(
    base: Model | ServedModel,
    scored: Benchmark | str,
    *,
    out: Path | str,
    text: Benchmark | None = None,
    further: Sequence[Benchmark] = (),
    config: SteerConfig | None = None,
    evaluate: EvaluateConfig | None = None,
    compare: CompareConfig | None = None,
    seed: int = 0,
    name: str | None = None,
    states: list[TextStates] | None = None,
    progress: Progress = no_progress,
) -> Path:
    """The folder of the intervention, `<out>/steer/<name>`, made once; its nulls lie beside it as `<name>-<null>`.

    scored: the benchmark that will be evaluated with it, and whose items are held out to choose on; or a task's name
    for its demo data. further: other benchmarks that will be. text: the benchmark whose training questions are the
    parallel text, as `text_benchmark` gives it unless given. evaluate: how held-out items are asked.
    compare: by what they choose; its primary measure is declared in the run before they are scored, unless the run
    declares one. name: the method's unless given. states: of parallel text, by earlier calls with this base: what is
    there is taken, and what is computed is added.

    ConfigError for a model on a server, and for layers that it does not have. DataError for text that overlaps the
    scored items.
    """
    if isinstance(base, ServedModel):
        refuse_server("steer")
    config, evaluate, compare = config or SteerConfig(), evaluate or EvaluateConfig(), compare or CompareConfig()
    name = check_file_name(name or config.method, "name of the intervention")
    check_settings(base, config)
    scored = open_benchmark(scored) if isinstance(scored, str) else scored
    text = text or text_benchmark(config, [scored, *further])
    sentences = read_parallel_text(text, [scored, *further], config, seed)
    held_out, asked = None, compare
    settings = config.model_dump(exclude=NOT_SETTINGS) | {
        "model": base.ref.fingerprint, "dtype": str(base.dtype).removeprefix("torch."), "seed": seed,
        "data": sentences.fingerprint,
    }  # fmt: skip
    run = open_run(out)
    if config.choose == "held-out":
        held_out = HeldOut(task=scored.task.name, ids=held_out_ids(scored, config.held_out))
        asked = compare.model_copy(update=asdict(asked_measure(compare, declared_measure(run))))
        metrics_of(scored.task, asked)
        settings |= {
            "held_out_items": hash_of(held_out.ids),
            "held_out_data": scored.hashes(),
            "task": scored.task.fingerprint,
        }
        settings |= {"evaluate": evaluate.model_dump(exclude={"batch_tokens", "prefix_cache"})} | _choice(asked)
    folder = run.path / "steer" / name
    with run.stage(f"steer/{name}", settings) as stage:
        if stage.finished and (folder / DESCRIPTION).is_file():
            return folder
        if held_out:
            declare_measure(run, asked)
        own_states, shared_seconds = shared_states(base, sentences, states, progress)
        recipe = _recipe(base, sentences, own_states, config, name)
        if held_out:
            real = _chosen(recipe, base, scored, held_out, config, evaluate, asked, progress)
        else:
            real = _by_rule(recipe, config)
        # The intervention is written last: where it is, its nulls are.
        for null, intervention in recipe.nulls(real, seed).items():
            write_intervention(folder.with_name(null_name(name, null)), intervention)
        write_intervention(folder, real)
        description = real.description
        log.info("%s: layers %s, strength %g", name, ", ".join(map(str, description.layers)), description.strength)
        stage.facts |= description.model_dump(include={"layers", "strength", "languages", "sentences"})
        stage.facts[SHARED_SECONDS] = round(shared_seconds, 1)
    return folder


def _choice(compare: CompareConfig) -> dict[str, Any]:
    """What the settings record of the measure that chooses; nothing of the default: settings of before it hold."""
    keys = {"primary", "fallback", "length"} | ({"calibration"} if compare.primary == "calibrated" else set())
    chosen = compare.model_dump(include=keys)
    return {"compare": chosen} if chosen != CompareConfig().model_dump(include=keys) else {}


def check_settings(base: Model, config: SteerConfig) -> None:
    """ConfigError for layers that the model does not have, too few of them for the method, or a strength of 0."""
    needed, layers = METHODS[config.method].n_layers, config.layers
    if base.intervention:
        raise ConfigError(f"model.steer: {base.ref.title} is steered already", hint="leave model.steer out")
    if base.layers < 2:
        raise ConfigError(f"{base.ref.name} has {base.layers} block: no inner hidden state to change", hint="--model")
    for layer in layers or ():
        if layer > base.layers:
            raise ConfigError(
                f"steer.layers: {layer}: {base.ref.name} has hidden states 0 to {base.layers}",
                hint="the input of block l is l; the last one is the input of the final norm",
            )
    if layers is not None and sorted(set(layers)) != layers:
        raise ConfigError(f"steer.layers: {layers}: expected each once, in order", hint="as in 8,16")
    too_few = layers is not None and len(layers) < needed
    if too_few or (layers and config.choose == "rule" and needed > 1 and len(layers) != needed):
        raise ConfigError(f"steer.layers: {layers}: {config.method} changes {needed}", hint="or null, for the rule")
    strengths = config.strengths if config.choose == "held-out" else [config.strength]
    if 0 in strengths:
        raise ConfigError("steer.strength: 0 changes nothing", hint="another strength")


def _recipe(base: Model, text: ParallelText, states: TextStates, config: SteerConfig, name: str) -> Recipe:
    return Recipe(
        name=name,
        method=config.method,
        positions=config.positions or METHODS[config.method].positions,
        states=states.by_language,
        reference=text.reference,
        base=Base(name=base.ref.name, fingerprint=base.ref.fingerprint, layers=base.layers, hidden=base.hidden),
        data=states.data,
    )


def _by_rule(recipe: Recipe, config: SteerConfig) -> Intervention:
    """At the layers of the config, else where retrieval is best."""
    retrieval = retrieval_by_layer(recipe.states, recipe.reference)
    layers = config.layers or layers_by_rule(retrieval, METHODS[config.method].n_layers)
    return with_facts(recipe.intervention(layers, config.strength), {"retrieval": retrieval.tolist()})


def _chosen(
    recipe: Recipe,
    base: Model,
    scored: Benchmark,
    held_out: HeldOut,
    config: SteerConfig,
    evaluate: EvaluateConfig,
    compare: CompareConfig,
    progress: Progress,
) -> Intervention:
    """The best on held-out items, of all strengths at all layers (all pairs of layers, where the method has two)."""
    layers = config.layers or range(1, base.layers + (METHODS[config.method].n_layers > 1))
    candidates = [
        recipe.intervention(chosen, strength, held_out)
        for chosen in combinations(layers, METHODS[config.method].n_layers)
        for strength in config.strengths
    ]
    best, scores, metric = choose(base, scored, held_out.ids, candidates, evaluate, progress, compare)
    rows = [
        {"layers": candidate.description.layers, "strength": candidate.description.strength, "score": score}
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    return with_facts(best, {"metric": metric, "candidates": rows})
