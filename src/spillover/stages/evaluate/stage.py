"""Prompts × engine → tables.

1. Load the items of all languages, aligned by id, and render them; with a budget, as many as fit into it.
2. Plan every language, measure the machine, and say how long it will take.
3. Score language by language, or several at a time where there are workers. Every finished batch is appended to a file
   beside the table, so a kill loses at most the batch in flight; on resume the batches are planned in the same way, so
   the table comes out the same.
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
from numpy.typing import NDArray

from spillover.core.config import CompareConfig, EvaluateConfig
from spillover.core.declared_measure import declare_measure
from spillover.core.durations import duration
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
from spillover.models.engine import AnyModel, Engine, label_scores, open_engine, score_plans
from spillover.models.served_model import ServedModel, checked_probes
from spillover.stages.evaluate.score_tables import facts_of, read_scores, write_scores
from spillover.tasks.benchmark import Benchmark, open_benchmark
from spillover.tasks.prompts import answer_prompt, content_free
from spillover.tasks.shots import sentences_hash

log = logging.getLogger(__name__)

OF_THE_BENCHMARK = {"missing_items", "disagreeing_labels", "wording"}
"""Keys that have done their work when the benchmark is open."""


def evaluate(
    model: AnyModel,
    benchmark: Benchmark | str,
    *,
    config: EvaluateConfig | None = None,
    out: Path | str | None = None,
    name: str | None = None,
    compare: CompareConfig | None = None,
    other_runs: Sequence[Path] = (),
    progress: Progress = no_progress,
) -> Evaluation:
    """Log-probabilities of every label for every item, by language.

    benchmark: as `open_benchmark` gives it, or a task's name for its demo data in all languages. out: a run folder;
    tables go to `<out>/evaluate/<name>/<task>`, and finished ones are not computed again. name: unless given
    that of the model's intervention, tuned with an adapter, else base. Items on which an intervention was chosen are
    not scored with it. compare: its primary measure is declared in the run before anything is scored there (RunError
    when the run has scores and declares another). other_runs: run folders; where one of them has these scores, made
    from the same inputs, they are taken.
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
    with run.stage(stage_name, settings, other_runs=other_runs) as stage:
        folder = run.path / stage_name
        evaluation = _score_all(engine, task, plans, n_content_free, folder, evaluation, name, progress)
        stage.facts |= _counts(evaluation, plans) | {"task": benchmark.source, "data": benchmark.data}
        stage.facts |= ({"chat": experiment.chat} if chat else {}) | benchmark.wording_settings()
        stage.facts |= {"lender": benchmark.wording} if benchmark.wording else {}
        stage.facts |= engine.facts
    return evaluation


def _without_held_out(model: AnyModel, benchmark: Benchmark) -> Benchmark:
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
    items = sum(len(plan.items) - n_content_free for plan in plans.values())
    bar = _Bar(progress, f"evaluate {name} {task.name}".replace("  ", " "), items)
    languages = {
        code: _LanguageScores(
            task, plan, len(plan.items) - n_content_free, folder / f"{code}.parquet" if folder else None, evaluation
        )
        for code, plan in plans.items()
    }
    _announce(engine, task.name, [plans[code] for code, language in languages.items() if not language.has_table])
    for language in languages.values():
        bar.add(language.resume())
    unfinished = {code: language for code, language in languages.items() if language.scores is None}
    # An answer prompt costs a few tokens: it is not stored, and scored again after an interruption.
    answers = {code: language.answer_plan(engine) for code, language in unfinished.items() if task.kind == "labels"}
    to_score: dict[tuple[str, bool], Plan] = {}
    for code in unfinished:
        to_score |= {(code, False): plans[code]} | ({(code, True): answers[code]} if code in answers else {})
    finished = {(code, False): language.finished for code, language in unfinished.items()}
    for (code, is_answer), batch in score_plans(engine, to_score, finished):
        bar.add(languages[code].add(batch, is_answer=is_answer))
    return replace(evaluation, scores={code: language.table() for code, language in languages.items()})


def _announce(engine: Engine, task: str, plans: Sequence[Plan]) -> None:
    """Say what will be computed, what the shared prefix saves, and how long it should take."""
    computed, whole = sum(plan.computed for plan in plans), sum(plan.whole for plan in plans)
    if not computed:
        return
    seconds = computed / engine.tokens_per_second(plans[0])
    saved = max(0, whole - computed)
    log.info(
        "%s: %s tokens to compute (prefix saves %s), about %s", task, f"{computed:,}", f"{saved:,}", duration(seconds)
    )


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


class _LanguageScores:
    """Scores of one language: from its table when that is finished, else from its batches, and then into the table.

    n_items: how many of the plan's prompts are items; those behind them have no content and serve calibration.
    """

    def __init__(self, task: Task, plan: Plan, n_items: int, path: Path | None, evaluation: Evaluation) -> None:
        self.task, self.plan, self.n_items, self.path, self.evaluation = task, plan, n_items, path, evaluation
        self.scores: LabelScores | None = None
        self.batches: list[ScoredBatch] = []
        self.answer_logprobs: NDArray[np.float32] | None = None
        self.batches_path = path.with_suffix(".batches.jsonl") if path else None

    @property
    def has_table(self) -> bool:
        """Whether there is a table, of this evaluation or of another."""
        return self.path is not None and self.path.exists()

    @property
    def finished(self) -> frozenset[int]:
        """Numbers of the plan's prompts that are scored."""
        return frozenset(i for batch in self.batches for i in batch.index)

    def resume(self) -> int:
        """Take over what an earlier process scored; of how many items."""
        if self.path is not None and self.path.exists():
            scores, facts = read_scores(self.path)
            if facts["key"] == self.evaluation.key:
                self.scores = scores
                if self.batches_path and self.batches_path.exists():  # killed after the table was written
                    self.batches_path.unlink()
                return self.n_items
        self.batches = _read_batches(self.batches_path, self.evaluation.key) if self.batches_path else []
        return sum(i < self.n_items for i in self.finished)

    def answer_plan(self, engine: Engine) -> Plan:
        """The answer prompt, for calibration."""
        return engine.plan([answer_prompt(self.task, self.plan.prompts[0])])

    def add(self, batch: ScoredBatch, *, is_answer: bool) -> int:
        """Keep a batch, of the plan or of the answer prompt; of how many items. The last one completes the table."""
        if is_answer:
            self.answer_logprobs = batch.logprobs[0]
        else:
            self.batches.append(batch)
            if self.batches_path:
                _append_batch(self.batches_path, self.evaluation.key, batch)
        has_answer = self.task.kind != "labels" or self.answer_logprobs is not None
        if has_answer and sum(len(batch.index) for batch in self.batches) == len(self.plan.items):
            self.table()
        return 0 if is_answer else sum(i < self.n_items for i in batch.index)

    def table(self) -> LabelScores:
        """The scores of all batches; the table is written when it is not there."""
        if self.scores is not None:
            return self.scores
        scores = _scores(self.task, self.plan, self.n_items, self.batches, self.answer_logprobs)
        if self.path and self.batches_path:
            texts = [_text_of(prompt, self.task) for prompt in self.plan.prompts[: self.n_items]]
            write_scores(self.path, scores, facts_of(self.evaluation), texts)
            self.batches_path.unlink(missing_ok=True)
        self.scores = scores
        return scores


def scores_of_batches(
    engine: Engine, task: Task, plan: Plan, n_items: int, batches: Sequence[ScoredBatch]
) -> LabelScores:
    """Scores of the plan's first `n_items` prompts, and from those behind them, which have no content, what calibration
    needs. batches: of the whole plan."""
    if task.kind != "labels":
        return _scores(task, plan, n_items, batches, None)
    (batch,) = engine.score(engine.plan([answer_prompt(task, plan.prompts[0])]))
    return _scores(task, plan, n_items, batches, batch.logprobs[0])


def _scores(
    task: Task, plan: Plan, n_items: int, batches: Sequence[ScoredBatch], answer_logprobs: NDArray[np.float32] | None
) -> LabelScores:
    """answer_logprobs: of the answer prompt; None leaves calibration out."""
    scores = label_scores(task, plan.prompts[:n_items], batches)
    if answer_logprobs is None:
        return scores
    order = np.argsort(np.concatenate([batch.index for batch in batches]))[n_items:]
    calibration = CalibrationScores(
        content_free=np.concatenate([batch.logprobs for batch in batches])[order],
        answer_prompt=answer_logprobs,
        label_bytes=np.array([len(word.encode()) for word in plan.prompts[0].answers], dtype=np.int32),
    )
    return replace(scores, calibration=calibration)


def _text_of(prompt: Prompt, task: Task) -> str:
    """What was asked, with the answers where they are the item's own."""
    if task.kind == "labels":
        return prompt.body
    numbered = [f"{number}. {answer.strip()}" for number, answer in enumerate(prompt.answers)]
    return "\n".join([*([prompt.body] if prompt.body else []), *numbered])


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
