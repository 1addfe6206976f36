"""In-training evaluation: a few items scored while the model trains, a guard, and the checkpoint that is kept.

1. Choose languages and items, the same items in all languages; none of the final evaluation's, if there are enough.
2. Score them with the engine before the first step, every `train.eval_every` steps and at the end, keeping the hidden
   states: AUROC, calibrated accuracy, and MEXA against the reference language.
3. Guard: the one-sided paired test that the reference language's AUROC fell by more than the margin, with the interval
   that `compare` uses, its significance level divided by the number of evaluations (Bonferroni), so that all together
   rarely stop a harmless training.
4. Each snapshot goes into the loss history, and with it into steps.jsonl and every checkpoint: a resumed training has
   each line once. When a snapshot says stop, the training ends after that step.
5. The adapter is kept if it is the best so far by `train.best`. While the guard is on, one that holds the reference
   language within its margin is better than any that does not.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray
from transformers.trainer_utils import IntervalStrategy

from spillover.core.config import CompareConfig, EvaluateConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.files import atomic_folder, hash_of, plain, remove_folder
from spillover.core.languages import language, reference_language
from spillover.core.types import Example, LabelScores, Progress, Prompt, no_progress
from spillover.models.engine import label_scores, open_engine
from spillover.models.load import Model
from spillover.stages.train.adapters import save_adapter
from spillover.stats.contributions import contributions_of
from spillover.stats.significance import noninferiority_test
from spillover.stats.similarity import mexa
from spillover.stats.summary import auroc, clustered, measures, per_cluster
from spillover.tasks.benchmark import Benchmark, open_benchmark
from spillover.tasks.examples import draw_ids
from spillover.tasks.prompts import render

log = logging.getLogger(__name__)

VALIDATION = "validation_loss"
REFERENCE, SEEN, UNSEEN = "reference", "seen", "unseen"
# So many languages that are not trained on are evaluated unless they are named.
UNSEEN_LANGUAGES = 3
# So many items that the evaluation leaves are enough for the guard, when there are not as many as it would like.
ENOUGH = 200


@dataclass(frozen=True)
class LanguageMeasures:
    """One language in one snapshot. group: reference, seen or unseen. n: items. auroc, calibrated_accuracy and mexa in
    [0, 1], NaN where undefined, as MEXA of the reference language with itself."""

    language: str
    group: str
    n: int
    auroc: float
    calibrated_accuracy: float
    mexa: float


@dataclass(frozen=True)
class GuardResult:
    """The reference language against the base, in AUROC. change: below 0 is a loss; high: its upper bound at confidence
    1 - size. p: one-sided, of "it lost no more than the margin". size: significance level, below which p stops the
    training."""

    language: str
    margin: float
    before: float
    after: float
    change: float
    high: float
    p: float
    size: float

    @property
    def stops(self) -> bool:
        """Whether the fall is significant."""
        return self.p < self.size


@dataclass(frozen=True)
class EvalSnapshot:
    """What one evaluation of a model in training shows. stop: why the training must end, for a person; None to go on.
    scores: by language, for the snapshots that are compared with this one."""

    rows: tuple[LanguageMeasures, ...]
    guard: GuardResult | None = None
    stop: str | None = None
    scores: Mapping[str, LabelScores] = field(default_factory=dict)


@dataclass(frozen=True)
class InTrainingEvaluation:
    """Evaluates `prompts`, by language, in one order; languages with fewer items have the first ones' ids too.
    settings: everything that decides what is measured, recorded with the training. Make it with
    `in_training_evaluation`."""

    benchmark: Benchmark
    prompts: Mapping[str, Sequence[Prompt]]
    seen: tuple[str, ...]
    guard: bool
    margin: float
    level: float
    evaluate: EvaluateConfig
    settings: Mapping[str, Any]

    def __call__(self, model: Model, base: EvalSnapshot | None = None, evaluations: int = 1) -> EvalSnapshot:
        """The snapshot of a model. base: that of the base, which the guard compares it with; None when this is it.
        evaluations: how many the training will have in all."""
        # Hidden states of all layers are kept beside the scores.
        half = max(1, self.evaluate.batch_tokens // 2)
        engine = open_engine(model, self.evaluate.model_copy(update={"batch_tokens": half}))
        plans = {code: engine.plan(prompts) for code, prompts in self.prompts.items()}
        if base is None:
            tokens = sum(plan.computed for plan in plans.values())
            n_items = sum(map(len, self.prompts.values()))
            seconds = tokens / engine.tokens_per_second(next(iter(plans.values())))
            log.info(
                "in-training evaluation: %d items in %d languages, %s tokens or about %.0f s each, %d in all",
                n_items, len(plans), f"{tokens:,}", seconds, evaluations + 1,
            )  # fmt: skip
        scores: dict[str, LabelScores] = {}
        states: dict[str, NDArray[np.float32]] = {}
        for code, plan in plans.items():
            batches = list(engine.score(plan, states=True))
            scores[code] = label_scores(self.benchmark.task, plan.prompts, batches)
            order = np.argsort(np.concatenate([batch.index for batch in batches]))
            states[code] = np.concatenate([batch.states.mean for batch in batches if batch.states])[order]
        rows = tuple(self._measures(code, scores[code], states) for code in plans)
        guard = self.guard_result(base, scores, evaluations) if self.guard and base else None
        return EvalSnapshot(rows, guard, stop_reason(guard), scores)

    def _measures(self, code: str, scores: LabelScores, states: Mapping[str, NDArray[np.float32]]) -> LanguageMeasures:
        reference = reference_language()
        group = REFERENCE if code == reference else SEEN if code in self.seen else UNSEEN
        alignment = math.nan
        if code != reference and reference in states:
            position = {prompt.example_id: i for i, prompt in enumerate(self.prompts[reference])}
            counterparts = states[reference][[position[example_id] for example_id in scores.example_ids]]
            # The embedding is left out: it knows no context, and shared words alone would align it.
            layers = range(1, counterparts.shape[1])
            alignment = max(mexa(states[code][:, layer], counterparts[:, layer]) for layer in layers)
        values = measures(scores)
        return LanguageMeasures(
            code, group, len(scores.gold), values["auroc"], values["calibrated_accuracy"], alignment
        )

    def guard_result(self, base: EvalSnapshot, scores: Mapping[str, LabelScores], evaluations: int) -> GuardResult:
        """The reference language's AUROC in `scores` against the base's, tested once of `evaluations` times."""
        code = reference_language()
        before, after = base.scores[code], scores[code]
        size = (1 - self.level) / evaluations
        contributions = per_cluster(contributions_of(before, after)["auroc"], after)
        change, high, p = noninferiority_test(contributions, self.margin, size, clustered=clustered(after))
        return GuardResult(code, self.margin, auroc(before), auroc(after), change, high, p, size)


def stop_reason(guard: GuardResult | None) -> str | None:
    """Why the training must stop, for a person; None when it may go on."""
    if guard is None or not guard.stops:
        return None
    name = language(guard.language).name
    return (
        f"{name} fell below its margin: AUROC {guard.before:.3f} → {guard.after:.3f}, "
        f"a loss of at least {-guard.high:.3f} (one-sided p {guard.p:.2g} < {guard.size:.2g}) where "
        f"{guard.margin:g} is allowed; the training stops here"
    )


def in_training_evaluation(
    benchmark: Benchmark | str,
    *,
    seen: Sequence[str],
    config: TrainConfig | None = None,
    evaluate: EvaluateConfig | None = None,
    compare: CompareConfig | None = None,
) -> InTrainingEvaluation:
    """The evaluation for `train(..., evaluation=...)`. seen: the languages that are trained on.

    benchmark: that of the final evaluation, whose items are left alone where there are others. config: `guard`, `best`
    and `eval_...`; compare: the guard's `margin` and `level`.
    ConfigError when a language is not in the data, or the guard or `config.best` needs one that is not evaluated.
    """
    config, evaluate, compare = config or TrainConfig(), evaluate or EvaluateConfig(), compare or CompareConfig()
    if isinstance(benchmark, str):
        benchmark = open_benchmark(benchmark, wording=evaluate.wording)
    if benchmark.task.kind != "labels":
        raise ConfigError(
            f"train.eval_every: not defined for {benchmark.task.kind} ({benchmark.task.name}): guard and best "
            "checkpoint read AUROC and calibrated accuracy of labels",
            hint="add a task with labels to tasks, or --set train.eval_every=null",
        )
    every_item = replace(benchmark, limit=None)
    codes = _languages(config, benchmark, seen)
    _check_groups(config, codes, seen, benchmark.data)
    evaluated = {row.id for row in benchmark.examples(benchmark.languages)[benchmark.languages[0]]}
    rows = every_item.examples(codes)
    ids, overlap = _items(rows[codes[0]], evaluated, config, benchmark.seed)
    by_id = {row.id: row for row in rows[codes[0]]}
    few = draw_ids(ids, by_id, config.eval_items, np.random.default_rng(benchmark.seed))
    shots = benchmark.resolved_shots(evaluate.shots)
    prompts = {}
    for code in codes:
        chosen = set(ids if code == reference_language() else few)
        examples = [row for row in rows[code] if row.id in chosen]
        prompts[code] = render(benchmark.task, examples, label_set=evaluate.labels, shots=shots)
    if overlap:
        log.info(
            "in-training evaluation: %d of %d items are items of the final evaluation too: there are not enough",
            overlap, len(ids),
        )  # fmt: skip
    settings = {
        "task": benchmark.task.name,
        "wording": benchmark.task.fingerprint,
        "data": benchmark.hashes(codes),
        "seen": sorted(set(seen) & set(codes)),
        "items": hash_of(ids),
        "reference_items": len(ids),
        "items_per_language": len(few),
        "items_also_evaluated": overlap,
        "labels": evaluate.labels,
        "shots": shots,
        "rule": evaluate.rule,
        "margin": compare.margin,
        "level": compare.level,
    } | benchmark.wording_settings(codes)
    guard = config.guard is not None
    return InTrainingEvaluation(
        benchmark, prompts, tuple(seen), guard, compare.margin, compare.level, evaluate, settings
    )


def _languages(config: TrainConfig, benchmark: Benchmark, seen: Sequence[str]) -> tuple[str, ...]:
    """The languages to evaluate, the reference language first."""
    reference = reference_language()
    everywhere = replace(benchmark, languages=tuple(benchmark.files))
    if config.eval_languages is not None:
        codes = everywhere.select(config.eval_languages, seen=seen, where="train.eval_languages")
    else:
        codes = tuple(code for code in benchmark.files if code == reference or code in seen)
        codes += _most_different(codes, [code for code in benchmark.languages if code not in codes])
    return tuple(sorted(codes, key=lambda code: code != reference))


def _most_different(present: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Up to UNSEEN_LANGUAGES of the others: first one of each script that is not present yet, then the rest."""
    scripts = {language(code).script for code in present}
    first = []
    for code in others:
        if language(code).script not in scripts:
            scripts.add(language(code).script)
            first.append(code)
    return tuple([*first, *(code for code in others if code not in first)][:UNSEEN_LANGUAGES])


def _check_groups(config: TrainConfig, codes: Sequence[str], seen: Sequence[str], data: str) -> None:
    reference = reference_language()
    if config.guard and reference not in codes:
        raise ConfigError(
            f"train.guard: {config.guard}: {data} has no {reference} items to evaluate",
            hint="--set train.guard=null, or add it to train.eval_languages",
        )
    group = config.best.partition(".")[2]
    groups = {REFERENCE if code == reference else SEEN if code in seen else UNSEEN for code in codes}
    if group and group != "all" and group not in groups:
        raise ConfigError(
            f"train.best: {config.best}: no such language is evaluated ({', '.join(codes)})",
            hint="add one to train.eval_languages",
        )


def _items(
    rows: Sequence[Example], evaluated: Collection[str], config: TrainConfig, seed: int
) -> tuple[list[str], int]:
    """(ids for the reference language, how many of them are evaluated too): from what the evaluation leaves, if that
    is enough, balanced over the labels."""
    wanted = max(config.eval_reference_items, config.eval_items)
    left = [row.id for row in rows if row.id not in evaluated]
    enough = len(left) >= min(wanted, max(ENOUGH, config.eval_items))
    pool = left if enough else [row.id for row in rows]
    ids = draw_ids(pool, {row.id: row for row in rows}, wanted, np.random.default_rng(seed))
    return ids, sum(example_id in evaluated for example_id in ids)


def check_evaluation(config: TrainConfig, evaluation: InTrainingEvaluation | None) -> None:
    """ConfigError when the config asks for in-training evaluation and none is given, or the other way round."""
    if config.eval_every and evaluation is None:
        raise ConfigError(
            f"train.eval_every: {config.eval_every}, and no evaluation is given",
            hint="train(..., evaluation=in_training_evaluation(benchmark, seen=[...])), or leave train.eval_every out",
        )
    if not config.eval_every and evaluation is not None:
        raise ConfigError(
            "an evaluation is given, and train.eval_every is null", hint="TrainConfig(eval_every=50, ...)"
        )
    if not config.eval_every and config.best != VALIDATION:
        raise ConfigError(f"train.best: {config.best} needs in-training evaluation", hint="--set train.eval_every=50")


class AlreadyStopped(Exception):
    """The guard had stopped this training before it was killed: there is nothing to resume."""


class EvalCallback(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Evaluates the model every `eval_every` steps, and stops the training when the guard says so. folder: for the best
    adapters. track: called with the numbers of each snapshot by name, for the trackers of `train.report_to`."""

    def __init__(
        self,
        evaluation: InTrainingEvaluation,
        base: Model,
        config: TrainConfig,
        folder: Path,
        progress: Progress = no_progress,
    ) -> None:
        self.evaluation, self.base, self.config, self.folder, self.progress = evaluation, base, config, folder, progress
        self.base_snapshot: EvalSnapshot | None = None
        self.track: Callable[[dict[str, float]], None] = lambda _: None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Evaluate the base; AlreadyStopped when the training that resumes was stopped before."""
        if args.fsdp or args.deepspeed:
            raise ConfigError("train.eval_every needs the whole model on every device", hint="leave it out here")
        if state.global_step and best_step(state.log_history, self.config) == state.global_step:
            self.keep_adapter(state, model)  # a kill may have come between the checkpoint and the keeping
        if any(row.get("stop") for row in state.log_history):
            raise AlreadyStopped
        self.base_snapshot = self.evaluation(self.base, None, self._evaluations(state))
        if not state.global_step:
            self._record(state, self.base_snapshot)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Every `eval_every` steps and at the end: evaluate, save, and stop when the guard says so."""
        if not self._due(state):
            return
        with as_for_scoring(model, self.base):
            tuned = replace(self.base, module=model)
            snapshot = self.evaluation(tuned, self.base_snapshot, self._evaluations(state))
        self._record(state, snapshot)
        control.should_save = True
        control.should_evaluate = args.eval_strategy != IntervalStrategy.NO
        if snapshot.stop:
            log.warning("step %d: %s", state.global_step, snapshot.stop)
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Keep the adapter of a checkpoint that is the best so far."""
        if best_step(state.log_history, self.config) == state.global_step:
            self.keep_adapter(state, model)

    def _due(self, state: Any) -> bool:
        return bool(state.global_step % (self.config.eval_every or 1) == 0 or state.global_step == state.max_steps)

    def _evaluations(self, state: Any) -> int:
        return math.ceil(int(state.max_steps) / (self.config.eval_every or 1))

    def _record(self, state: Any, snapshot: EvalSnapshot) -> None:
        done = math.ceil(state.global_step / (self.config.eval_every or 1))
        self.progress("in-training evaluation", done, self._evaluations(state))
        state.log_history.append({"step": state.global_step} | plain(as_row(snapshot)))
        self.track(as_numbers(snapshot))

    def keep_adapter(self, state: Any, model: Any) -> None:
        """Save the adapter of this step as the best so far. Two are kept: if the newest checkpoint is damaged, the
        training resumes from the one before."""
        if state.is_world_process_zero:
            save_adapter(model, self.base, self.folder / f"best-{state.global_step}")
            best = sorted(self.folder.glob("best-*"), key=lambda path: int(path.name.rpartition("-")[2]))
            for old in best[:-2]:
                remove_folder(old)


@contextmanager
def as_for_scoring(module: Any, base: Model) -> Iterator[None]:
    """Within the block a module in training scores as its base does: no dropout, and the base's own attention."""
    plain, training = module.get_base_model(), module.training
    training_attention = plain.config._attn_implementation
    module.eval()
    if plain._can_set_attn_implementation():
        plain.set_attn_implementation(base.module.config._attn_implementation)
    try:
        yield
    finally:
        module.train(training)
        if plain._can_set_attn_implementation():
            plain.set_attn_implementation(training_attention)


def take_best(history: Sequence[Mapping[str, Any]], config: TrainConfig, checkpoints: Path, adapter: Path) -> None:
    """The best adapter becomes the training's."""
    with atomic_folder(adapter) as partial:
        shutil.copytree(checkpoints / f"best-{best_step(history, config)}", partial, dirs_exist_ok=True)


def as_row(snapshot: EvalSnapshot) -> dict[str, Any]:
    """A snapshot as a line of steps.jsonl: `watch`, a list of measures by language, `guard` and `stop`."""
    return {
        "watch": [asdict(row) for row in snapshot.rows],
        "guard": asdict(snapshot.guard) if snapshot.guard else None,
        "stop": snapshot.stop,
    }


def as_numbers(snapshot: EvalSnapshot) -> dict[str, float]:
    """A snapshot as a tracker takes it: one number by name, `eval_de_auroc`; without those that are undefined."""
    numbers = {
        f"eval_{row.language}_{name}": float(getattr(row, name))
        for row in snapshot.rows
        for name in ("auroc", "calibrated_accuracy", "mexa")
    }
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


def best_step(history: Sequence[Mapping[str, Any]], config: TrainConfig) -> int | None:
    """The evaluated step whose adapter is kept, of those in the history; the base, step 0, is none of them."""
    losses = {row["step"]: -row["eval_loss"] for row in history if "eval_loss" in row}
    ranks: dict[int, tuple[float, float]] = {}
    for row in history:
        if "watch" in row and row["step"]:
            guard = row["guard"]
            shortfall = 0.0 if guard is None or guard["change"] is None else min(0.0, guard["change"] + guard["margin"])
            quality = losses.get(row["step"]) if config.best == VALIDATION else quantity(row["watch"], config.best)
            # Without validation pairs there is nothing to choose by, and the last one is kept.
            ranks[row["step"]] = (shortfall, row["step"] if quality is None else quality)
    return max(ranks, key=lambda step: ranks[step], default=None)


def quantity(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """The mean of a measure over a group of languages, `name` as in auroc.unseen. -inf when no language has it."""
    measure, _, group = name.partition(".")
    # Histories of before called the reference language's group english.
    groups = {"english": REFERENCE}
    values = [
        row[measure]
        for row in rows
        if group in ("all", groups.get(row["group"], row["group"])) and row[measure] is not None
    ]
    return sum(values) / len(values) if values else -math.inf


def outcome(history: Sequence[Mapping[str, Any]], config: TrainConfig) -> dict[str, Any]:
    """What the manifest records of in-training evaluation: the step that was kept, by which quantity, and why the
    training was stopped, if it was."""
    step = best_step(history, config)
    snapshots = {row["step"]: row for row in history if "watch" in row}
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    value = losses.get(step) if config.best == VALIDATION else quantity(snapshots[step or 0]["watch"], config.best)
    facts: dict[str, Any] = {"best": {"step": step, "quantity": config.best, "value": value}}
    facts["best"]["guard"] = snapshots[step or 0]["guard"]
    if config.best != VALIDATION:
        facts["best"]["base"] = quantity(snapshots[0]["watch"], config.best)
    stopped = next((row for row in snapshots.values() if row["stop"]), None)
    if stopped:
        facts["stopped"] = {"step": stopped["step"], "why": stopped["stop"]} | dict(stopped["guard"] or {})
    return facts
