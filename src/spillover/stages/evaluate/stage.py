"""Prompts × engine → tables.

1. Load the items of all languages, aligned by id, and render them; with a budget, as many as fit into it.
2. Plan every language, measure the machine, and say how long it will take.
3. Score language by language. Every finished batch is appended to a file beside the table, so a kill loses at most
   the batch in flight; on resume the batches are planned in the same way, so the table comes out the same.
4. Write the table and drop the batches.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.config import CompareConfig, EvaluateConfig
from spillover.core.declared_measure import declare_measure
from spillover.core.file_names import check_file_name
from spillover.core.files import append_line, hash_of
from spillover.core.model_names import name_in_run
from spillover.core.runs import Run, open_run
from spillover.core.types import (
    CalibrationScores,
    Evaluation,
    Experiment,
    LabelScores,
    Progress,
    Prompt,
    ScoredBatch,
    Task,
    no_progress,
)
from spillover.models.batching import Plan
from spillover.models.chat import chat_settings, log_chat, open_chat
from spillover.models.engine import Engine, label_scores, open_engine
from spillover.models.load import Model
from spillover.models.served_model import ServedModel, checked_probes
from spillover.stages.evaluate.score_tables import facts_of, read_scores, write_scores
from spillover.tasks.benchmark import Benchmark, open_benchmark
from spillover.tasks.prompts import answer_prompt, content_free
from spillover.tasks.shots import sentences_hash

log = logging.getLogger(__name__)

OF_THE_BENCHMARK = {"missing_items", "disagreeing_labels", "wording"}
"""Keys that have done their work when the benchmark is open."""


def evaluate(
    model: Model | ServedModel,
    benchmark: Benchmark | str,
    *,
    config: EvaluateConfig | None = None,
    out: Path | str | None = None,
    name: str | None = None,
    compare: CompareConfig | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Log-probabilities of every label for every item, by language.

    benchmark: as `open_benchmark` gives it, or a task's name for its demo data in all languages. out: a run folder;
    tables go to `<out>/evaluate/<name>/<task>`, and finished ones are not computed again. name: unless given
    that of the model's intervention, tuned with an adapter, else base. Items on which an intervention was chosen are
    not scored with it. compare: its primary measure is declared in the run before anything is scored there (RunError
    when the run has scores and declares another).
    """
    config = config or EvaluateConfig()
    name = check_file_name(name or name_in_run(model.ref.adapter, model.ref.steer), "name of the evaluation")
    if isinstance(benchmark, str):
        benchmark = open_benchmark(
            benchmark,
            missing_items=config.missing_items,
            disagreeing_labels=config.disagreeing_labels,
            wording=config.wording,
        )
    benchmark.check_wording(config.wording)
    benchmark.check_rule(config.rule)
    benchmark = _without_held_out(model, benchmark)
    run = open_run(out) if out is not None else None
    if run is not None:
        declare_measure(run, compare or CompareConfig())
    engine = open_engine(model, config)
    chat = None
    if benchmark.task.kind != "pairs":  # a pair is two whole texts: nothing to ask
        chat = open_chat(model, config)
        log_chat(model, config, chat)
    benchmark, plans = _within_budget(run, engine, benchmark, config)
    task = benchmark.task
    label_set = config.labels if task.kind == "labels" else task.kind
    shots = benchmark.resolved_shots(config.shots)
    experiment = Experiment(
        wording=task.fingerprint,
        template=hash_of(task.template),
        labels=label_set,
        shots=shots,
        rule=config.rule,
        content_free=inputs_without_content(task, config),
        dtype=str(model.dtype).removeprefix("torch."),
        vocabulary=model.vocabulary,
        chat=f"{chat.form} {chat.key}" if chat else "off",
        engine=model.engine,
        text=benchmark.text,
    )
    settings = {
        "model": model.ref.fingerprint,
        "dtype": experiment.dtype,
        "wording": task.fingerprint,
        "data": benchmark.hashes(),
        "limit": benchmark.limit,
        "seed": benchmark.seed if benchmark.limit else None,
        "missing_items": benchmark.missing_items,
        "disagreeing_labels": benchmark.disagreeing_labels,
    } | config.model_dump(exclude=OF_THE_BENCHMARK | {"batch_tokens", "chat", "system_prompt"})
    settings |= {"fold": str(benchmark.fold)} if benchmark.fold else {}
    settings |= {"shots": shots} | sentences_hash(shots) | chat_settings(chat) | benchmark.wording_settings()
    if benchmark.translated:
        settings["translated"] = {"text": benchmark.text, "key": benchmark.translated.key}
    evaluation = Evaluation(model.ref, task.name, label_set, hash_of(settings), {}, experiment)
    n_content_free = len(experiment.content_free)
    if run is None:
        return _score_all(engine, task, plans, n_content_free, None, evaluation, name, progress)
    if isinstance(model, ServedModel):
        run.update(served=checked_probes(model, run.manifest().get("served", {})))
    stage_name = f"evaluate/{name}/{task.name}"
    with run.stage(stage_name, settings) as stage:
        folder = run.path / stage_name
        evaluation = _score_all(engine, task, plans, n_content_free, folder, evaluation, name, progress)
        stage.facts |= _counts(evaluation, plans) | {"task": benchmark.source, "data": benchmark.data}
        stage.facts |= ({"chat": experiment.chat} if chat else {}) | benchmark.wording_settings()
        stage.facts |= {"lender": benchmark.wording} if benchmark.wording else {}
        stage.facts |= engine.facts
    return evaluation


def _without_held_out(model: Model | ServedModel, benchmark: Benchmark) -> Benchmark:
    """The benchmark without the items on which the settings of the model's intervention were chosen."""
    intervention = None if isinstance(model, ServedModel) else model.intervention
    held_out = intervention.description.held_out if intervention else None
    if held_out is None or held_out.task != benchmark.task.name:
        return benchmark
    log.info("%s: %d held-out items are not scored with %s", held_out.task, len(held_out.ids), model.ref.steer)
    return replace(benchmark, left_out=frozenset(held_out.ids))


def _counts(evaluation: Evaluation, plans: Mapping[str, Plan]) -> dict[str, int]:
    return {
        "items": sum(len(scores.example_ids) for scores in evaluation.scores.values()),
        "prompt_tokens": int(sum(scores.tokens.sum() for scores in evaluation.scores.values())),
        "computed_tokens": sum(plan.computed for plan in plans.values()),
    }


def _plans(engine: Engine, benchmark: Benchmark, config: EvaluateConfig) -> dict[str, Plan]:
    """What will be computed, by language: the items, and behind them the inputs without content."""
    return {
        code: engine.plan([*prompts, *content_free(benchmark.task, prompts[0], inputs)])
        for inputs in [inputs_without_content(benchmark.task, config)]
        for code, prompts in benchmark.prompts(config.labels, config.shots).items()
    }


def inputs_without_content(task: Task, config: EvaluateConfig) -> tuple[str, ...]:
    """Content-free inputs of contextual calibration; none where items bring their own answers, which have no prior."""
    return tuple(config.content_free) if task.kind == "labels" else ()


def _score_all(
    engine: Engine,
    task: Task,
    plans: Mapping[str, Plan],
    n_content_free: int,
    folder: Path | None,
    evaluation: Evaluation,
    name: str,
    progress: Progress,
) -> Evaluation:
    """The evaluation with the scores of every language; a table that is there already is read."""
    paths = {code: folder / f"{code}.parquet" if folder else None for code in plans}
    items = sum(len(plan.items) - n_content_free for plan in plans.values())
    bar = _Bar(progress, f"evaluate {name} {task.name}".replace("  ", " "), items)
    _announce(engine, task.name, [plan for code, plan in plans.items() if not _exists(paths[code])])
    scores = {
        code: score_language(engine, task, plan, n_content_free, paths[code], evaluation, bar)
        for code, plan in plans.items()
    }
    return replace(evaluation, scores=scores)


def _exists(path: Path | None) -> bool:
    return path is not None and path.exists()


def _announce(engine: Engine, task: str, plans: Sequence[Plan]) -> None:
    """Say what will be computed, what the shared prefix saves, and how long it should take."""
    computed, whole = sum(plan.computed for plan in plans), sum(plan.whole for plan in plans)
    if not computed:
        return
    seconds = computed / engine.tokens_per_second(plans[0])
    saved = max(0, whole - computed)
    log.info(
        "%s: %s tokens to compute (prefix saves %s), about %s", task, f"{computed:,}", f"{saved:,}", _duration(seconds)
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _within_budget(
    run: Run | None, engine: Engine, benchmark: Benchmark, config: EvaluateConfig
) -> tuple[Benchmark, dict[str, Plan]]:
    """The benchmark and its plans, of fewer items where `config.budget_minutes` allows no more."""
    plans = _plans(engine, benchmark, config)
    if config.budget_minutes is None:
        return benchmark, plans
    n_items = len(next(iter(plans.values())).items) - len(inputs_without_content(benchmark.task, config))
    affordable = _items_within(run, benchmark.task.name, engine, plans, n_items, 60 * config.budget_minutes)
    if affordable >= n_items:
        return benchmark, plans
    benchmark = replace(benchmark, limit=affordable)
    return benchmark, _plans(engine, benchmark, config)


def _items_within(
    run: Run | None, task: str, engine: Engine, plans: Mapping[str, Plan], n_items: int, seconds: float
) -> int:
    """How many items a language fit into that time, at least one. In a run folder the first evaluation of a task
    decides for all later ones, so that they score the same items."""
    budgets = run.manifest().get("budget", {}) if run else {}
    if task not in budgets:
        rate = engine.tokens_per_second(next(iter(plans.values())))
        prefixes = sum(len(plan.prefix) for plan in plans.values() if plan.shared)
        per_item = sum((plan.computed - len(plan.prefix) * plan.shared) / len(plan.items) for plan in plans.values())
        budgets = budgets | {task: min(n_items, max(1, int((seconds * rate - prefixes) / per_item)))}
        log.info("%s: %d of %d items a language fit into the budget", task, budgets[task], n_items)
        if run:
            run.update(budget=budgets)
    return int(budgets[task])


class _Bar:
    """Adds up finished items over languages for a progress bar."""

    def __init__(self, progress: Progress, activity: str, total: int) -> None:
        self.progress, self.activity, self.total, self.done = progress, activity, total, 0
        progress(activity, 0, total)

    def add(self, items: int) -> None:
        if items:
            self.done += items
            self.progress(self.activity, self.done, self.total)


def score_language(
    engine: Engine, task: Task, plan: Plan, n_content_free: int, path: Path | None, evaluation: Evaluation, bar: _Bar
) -> LabelScores:
    """Scores of one language, from its table when that is finished, else from the engine and then into the table.

    n_content_free: how many of the plan's prompts, the last ones, have no content and serve calibration.
    """
    items = len(plan.items) - n_content_free
    batches_path = path.with_suffix(".batches.jsonl") if path else None
    if path is not None and path.exists():
        scores, facts = read_scores(path)
        if facts["key"] == evaluation.key:
            if batches_path and batches_path.exists():  # killed after the table was written
                batches_path.unlink()
            bar.add(items)
            return scores
    batches = _read_batches(batches_path, evaluation.key) if batches_path else []
    finished = frozenset(i for batch in batches for i in batch.index)
    bar.add(sum(i < items for i in finished))
    for batch in engine.score(plan, skip=finished):
        batches.append(batch)
        if batches_path:
            _append_batch(batches_path, evaluation.key, batch)
        bar.add(sum(i < items for i in batch.index))
    scores = scores_of_batches(engine, task, plan, items, batches)
    if path and batches_path:
        texts = [_text_of(prompt, task) for prompt in plan.prompts[:items]]
        write_scores(path, scores, facts_of(evaluation), texts)
        batches_path.unlink(missing_ok=True)
    return scores


def scores_of_batches(
    engine: Engine, task: Task, plan: Plan, items: int, batches: Sequence[ScoredBatch]
) -> LabelScores:
    """Scores of the plan's first `items` prompts, and from those behind them, which have no content, what calibration
    needs. batches: of the whole plan."""
    scores = label_scores(task, plan.prompts[:items], batches)
    if task.kind != "labels":
        return scores
    return replace(scores, calibration=_calibration(engine, task, plan.prompts[0], items, batches))


def _text_of(prompt: Prompt, task: Task) -> str:
    """What was asked, with the answers where they are the item's own."""
    if task.kind == "labels":
        return prompt.body
    numbered = [f"{number}. {answer.strip()}" for number, answer in enumerate(prompt.answers)]
    return "\n".join([*([prompt.body] if prompt.body else []), *numbered])


def _calibration(
    engine: Engine, task: Task, prompt: Prompt, items: int, batches: Sequence[ScoredBatch]
) -> CalibrationScores:
    """From the prompts that follow the first `items`, and from the answer prompt, which costs a few tokens."""
    order = np.argsort(np.concatenate([batch.index for batch in batches]))[items:]
    alone = next(engine.score(engine.plan([answer_prompt(task, prompt)])))
    return CalibrationScores(
        content_free=np.concatenate([batch.logprobs for batch in batches])[order],
        answer_prompt=alone.logprobs[0],
        label_bytes=np.array([len(word.encode()) for word in prompt.answers], dtype=np.int32),
    )


def _append_batch(path: Path, key: str, batch: ScoredBatch) -> None:
    row = {
        "key": key,
        "index": list(batch.index),
        "logprobs": batch.logprobs.astype(float).tolist(),  # float64 text gives the same float32 back
        "tokens": batch.tokens.tolist(),
        "label_tokens": batch.label_tokens.tolist(),
    }
    append_line(path, json.dumps(row))


def _read_batches(path: Path, key: str) -> list[ScoredBatch]:
    """Finished batches. A last line that a kill cut short is dropped, and so is what has another key."""
    if not path.exists():
        return []
    batches = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row: Mapping[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["key"] != key:
            continue
        batches.append(
            ScoredBatch(
                tuple(row["index"]),
                np.array(row["logprobs"], dtype=np.float32),
                np.array(row["tokens"], dtype=np.int32),
                np.array(row["label_tokens"], dtype=np.int32),
            )
        )
    return batches
