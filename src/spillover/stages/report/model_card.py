"""A model card from a run folder: metadata as the Hugging Face hub reads them, with the results, and what they show.

Paths of the machine it was trained on are not published: a base from a local folder is known by the folder's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.errors import RunError, missing_extra
from spillover.core.files import atomic
from spillover.core.languages import language
from spillover.core.model_names import Weights, base_name, public_name
from spillover.core.runs import Run, existing_run
from spillover.core.tables import records
from spillover.core.visible_text import visible
from spillover.models.registry import packaged_models
from spillover.stages.compare.measures import BY_METRIC
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.stage import training_languages
from spillover.stages.report.markdown import code, markdown
from spillover.stages.report.page import template
from spillover.stages.report.run_tables import read_all_evaluations, run_comparisons

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

KINDS: dict[Weights | None, str] = {"adapter": "A LoRA adapter", "merged": "Full weights", None: "A tuned version"}
RECIPE = ("rank", "alpha", "targets", "learning_rate", "schedule", "warmup", "epochs", "batch", "seed")
GROUPS = {"all": "all languages", "seen": "languages trained on", "unseen": "languages not trained on"}


def write_card(path: Path | str, *, licence: str | None = None) -> Path:
    """Write `<run>/model-card.md`, and return its path. licence: by the hub's name for it, as in apache-2.0."""
    run = existing_run(path)
    kinds: tuple[Weights, ...] = ("merged", "adapter")
    weights = next((kind for kind in kinds if (run.path / "train" / kind).is_dir()), None)
    target = run.path / "model-card.md"
    text = model_card(run, weights, str(run.manifest().get("name") or run.path.name), licence=licence)
    with run.locked(), atomic(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def model_card(run: Run, weights: Weights | None, name: str, *, licence: str | None = None) -> str:
    """The card as Markdown: what was trained on what, by which recipe, its results, and whose licence holds.

    Names of models, runs, tasks and languages are text in it, never markup. weights: which of the run's, None when it
    has none. RunError when nothing says what the base is, MissingExtra without huggingface_hub, which comes with
    transformers.
    """
    try:
        from huggingface_hub import ModelCardData
    except ImportError as error:
        raise missing_extra(error) or error from None

    name = visible(name)
    packaged = packaged_models().get(_base(run, weights))
    base = packaged.hub if packaged else visible(_base(run, weights))
    terms = packaged.terms if packaged and not licence else None
    licence = licence or (packaged.licence if packaged else None)
    comparisons = run_comparisons(run)
    trained_on = training_languages(run)
    evaluated = [code for comparison in comparisons for code in comparison.languages["language"]]
    results = [result for comparison in comparisons for result in _results(comparison)]
    is_adapter = weights == "adapter"
    on_the_hub = "/" in base  # the hub refuses a base that is no repository
    data = ModelCardData(
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        license=licence or "other",
        license_link=terms,
        license_name=None if licence else f"that of the base, {base}",
        base_model=base if on_the_hub else None,
        base_model_relation=("adapter" if is_adapter else "finetune") if on_the_hub else None,
        language=list(dict.fromkeys([*trained_on, *evaluated])) or None,
        tags=["spillover", "question-translation"],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return template("model_card.md.j2", autoescape=False).render(
        card_data=data.to_yaml(),
        name=name,
        kind=KINDS[weights],
        base=base,
        terms=terms,
        training=list(_training(run, base, trained_on)),
        comparisons=comparisons,
    )


def _base(run: Run, weights: Weights | None) -> str:
    """The base's public name: from the note beside the weights, else from what was evaluated before."""
    if weights is not None:
        return public_name(base_name(run.path / "train" / weights))
    evaluations = list(read_all_evaluations(run).values())
    if not evaluations:
        raise RunError(f"{run.path}: neither weights nor scores, so no card", hint="`spillover train` first")
    return public_name(evaluations[0].model.name)


def _training(run: Run, base: str, codes: Sequence[str]) -> Iterator[str]:
    manifest = run.manifest()
    trained = manifest["stages"].get("train")
    if trained is None:
        yield f"Base: {code(base)}"
        yield "The training is not in this run."
        return
    settings = trained["settings"]
    yield f"Base: {code(base)} (fingerprint {markdown(str(settings['model']))})"
    yield from map(markdown, _training_facts(manifest, codes))


def _training_facts(manifest: Mapping[str, Any], codes: Sequence[str]) -> Iterator[str]:
    trained, built = manifest["stages"]["train"], manifest["stages"].get("build", {})
    facts, settings = trained.get("facts", {}), trained["settings"]
    losses = [_loss(facts.get(key)) for key in ("loss", "validation_loss")]
    yield f"Languages of the pairs: {', '.join(language(code).name for code in codes) or 'not recorded'}"
    yield f"Pairs: {facts.get('pairs')} (hash {settings['pairs']}), arm {built.get('facts', {}).get('arm', 'unknown')}"
    yield f"Recipe: {', '.join(f'{key} {settings[key]}' for key in RECIPE if key in settings)}"
    yield f"Steps: {facts.get('steps')}, loss {losses[0]}, validation loss {losses[1]}"
    yield f"Versions: {', '.join(f'{name} {value}' for name, value in manifest['versions'].items())}"
    if "stopped" in facts:
        yield f"Stopped by its guard at step {facts['stopped']['step']}: {facts['stopped']['why']}"


def _loss(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _results(comparison: Comparison) -> Iterator[EvalResult]:
    """The results of one task after tuning: the means over groups, those of the primary measure first, and each
    language's primary measure."""
    for row in sorted(records(comparison.groups), key=lambda row: row["metric"] != comparison.measure.metric):
        if row["group"] in GROUPS and row["metric"] in BY_METRIC and not math.isnan(row["after"]):
            title = f"{BY_METRIC[row['metric']].title}, mean over {GROUPS[row['group']]} ({row['languages']})"
            yield _result(comparison.task, row["group"], row["metric"], title, row["after"])
    for row in records(comparison.languages):
        measure = comparison.measure
        if not math.isnan(row[f"{measure.metric}_after"]):
            title = f"{measure.title} in {language(row['language']).name}"
            yield _result(comparison.task, row["language"], measure.metric, title, row[f"{measure.metric}_after"])


def _result(task: str, config: str, metric: str, title: str, value: float) -> EvalResult:
    from huggingface_hub import EvalResult

    task = visible(task)
    return EvalResult(
        task_type="text-classification",
        task_name=task,
        dataset_type=task,
        dataset_name=f"{task}, {GROUPS.get(config, config)}",
        dataset_config=config,
        dataset_split="test",
        metric_type=metric,
        metric_name=title,
        metric_value=round(float(value), 4),
    )
