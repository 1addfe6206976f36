"""LoRA tuning on question-translation pairs: transformers' Trainer with peft adapters.

1. Tokenise each pair as one text; the completion's tokens are found by character offset (tokenize.py).
2. Put adapters on a second module over the base's own tensors, so that the base stays what it was (adapters.py).
3. Train one effective batch a step, in parts of so many tokens; loss on the completions alone (trainer.py). With
   `train.align`, every second step draws the two questions of each pair together instead (alignment.py).
4. Evaluate the model as it trains, and stop when the guard says so (in_training.py).
5. Keep the best checkpoint, by validation loss or in-training evaluation, save the adapter, and drop the checkpoints.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from spillover.core.config import EvaluateConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.files import hash_of, remove_folder
from spillover.core.runs import first_process, open_run
from spillover.core.types import Progress, TrainingPair, no_progress
from spillover.models.chat import ChatTemplate, chat_settings, open_chat
from spillover.models.fast.malloc import keep_freed_memory
from spillover.models.load import Model, attach_adapter, same_logits
from spillover.models.served_model import ServedModel, refuse_server
from spillover.stages.train.adapters import save_adapter, with_adapter
from spillover.stages.train.alignment import open_alignment
from spillover.stages.train.checkpoints import KeepLast, last_checkpoint, remove_newer
from spillover.stages.train.failures import writing
from spillover.stages.train.freed_memory import FreedMemory
from spillover.stages.train.in_training import (
    AlreadyStopped,
    EvalCallback,
    InTrainingEvaluation,
    check_evaluation,
    outcome,
    take_best,
)
from spillover.stages.train.loss_log import LossLog
from spillover.stages.train.merging import MERGED
from spillover.stages.train.packing import collate
from spillover.stages.train.tokenize import open_pair_chat, split, tokenize_pairs
from spillover.stages.train.trainer import CompletionTrainer, training_arguments

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
# None of these changes what is learned.
NOT_SETTINGS = {"report_to", "keep_merged", "seed"}
# Left out where they are off: trainings of before have the same settings.
ADDED_SETTINGS = {"layers", "align"}


def train(
    base: Model | ServedModel,
    pairs: Sequence[TrainingPair],
    *,
    out: Path | str,
    config: TrainConfig | None = None,
    seed: int = 0,
    evaluation: InTrainingEvaluation | None = None,
    evaluate: EvaluateConfig | None = None,
    other_runs: Sequence[Path] = (),
    progress: Progress = no_progress,
) -> Model:
    """The base with an adapter tuned on `pairs`, saved as `<out>/train/adapter`. A killed run is resumed.

    evaluation: run every `config.eval_every` steps on a few items; see `in_training_evaluation`.
    evaluate: how the model is asked afterwards, whose chat form the pairs follow; the evaluation's unless given.
    other_runs: run folders; where one of them was trained from the same inputs, its adapter is taken.
    ModelError when the base cannot take the adapter, DataError for a pair that is longer than `config.max_tokens`.
    """
    if isinstance(base, ServedModel):
        refuse_server("train")
    config = config or TrainConfig()
    if base.intervention:
        raise ConfigError(f"model.steer: {base.ref.title} cannot be trained", hint="leave model.steer out")
    check_evaluation(config, evaluation)
    seed = seed if config.seed is None else config.seed
    evaluate = evaluate or (evaluation.evaluate if evaluation else EvaluateConfig())
    chat = open_pair_chat(base, config, evaluate)
    if chat:
        log.info("training pairs are wrapped in the chat template of %s", base.ref.name)
    run = open_run(out)
    folder = run.path / "train"
    unset = {name for name in ADDED_SETTINGS if getattr(config, name) is None}
    settings = config.model_dump(exclude=NOT_SETTINGS | unset) | {
        "chat_template": chat is not None,
        "pairs": hash_of([asdict(pair) for pair in pairs]),
        "model": base.ref.fingerprint,
        "dtype": str(base.dtype).removeprefix("torch."),
        "seed": seed,
        "watch": evaluation and dict(evaluation.settings) | chat_settings(open_chat(base, evaluation.evaluate)),
    }
    settings |= {"chat": chat.key, "system_prompt": chat.system_prompt} if chat else {}
    if not first_process():  # another one writes the folder
        recorded_stage = run.manifest()["stages"].get("train", {})
        if recorded_stage.get("state") != "done" or recorded_stage.get("key") != hash_of(settings):
            _train(base, pairs, chat, folder, config, seed, evaluation, no_progress)
        return attach_adapter(base, str(folder / "adapter"))
    with run.stage("train", settings, other_runs=other_runs, not_taken=[MERGED]) as stage:
        if not (stage.finished and (folder / "adapter").is_dir()):
            stage.facts |= _train(base, pairs, chat, folder, config, seed, evaluation, progress)
    tuned = attach_adapter(base, str(folder / "adapter"))
    if same_logits(base, tuned):
        log.warning("training changed nothing: train longer, or with a higher train.learning_rate")
    return tuned


def _train(
    base: Model,
    pairs: Sequence[TrainingPair],
    chat: ChatTemplate | None,
    folder: Path,
    config: TrainConfig,
    seed: int,
    evaluation: InTrainingEvaluation | None,
    progress: Progress,
) -> dict[str, Any]:
    keep_freed_memory()
    rows = tokenize_pairs(base, pairs, config, chat)
    training, validation = split(rows, config.validation, np.random.default_rng(seed))
    transformers.set_seed(seed)
    module = with_adapter(base, config)
    arguments = training_arguments(base, config, folder / CHECKPOINTS, seed, validation=len(validation))
    alignment = open_alignment(base, module, pairs, config, arguments.world_size)
    callback = EvalCallback(evaluation, base, config, folder / CHECKPOINTS, progress) if evaluation else None
    trainer = CompletionTrainer(
        model=module,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation or None,
        data_collator=collate,
        # Called in this order, before Trainer's own logging.
        callbacks=[
            LossLog(folder / "steps.jsonl", progress),
            *([callback] if callback else []),
            KeepLast(),
            FreedMemory(),
        ],
        part_tokens=config.batch_tokens,
        ids=[pair.id for pair in pairs],
        alignment=alignment,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    if callback:
        callback.track = trainer.track
    resume = last_checkpoint(folder / CHECKPOINTS)
    if first_process():
        remove_newer(folder / CHECKPOINTS, resume)
    if resume:
        log.info("resuming from %s", resume.name)
    seconds = _tune(trainer, base, folder, config, resume, evaluated=evaluation is not None)
    tokens = sum(len(row["input_ids"]) for row in training)
    facts = {
        "pairs": len(training),
        "validation_pairs": len(validation),
        "left_out": len(pairs) - len(rows),
        "steps": trainer.state.global_step,
        "tokens_per_epoch": tokens,
        "loss": _last(trainer.state.log_history, "loss"),
        "validation_loss": trainer.state.best_metric,
        "dtype": str(base.dtype).removeprefix("torch."),
    }
    if alignment:
        facts |= {"aligned_pairs": len(alignment.texts), "align_loss": _last(trainer.state.log_history, "align_loss")}
    if evaluation:
        facts |= outcome(trainer.state.log_history, config)
    if not resume:
        facts["tokens_per_second"] = round(tokens * trainer.state.epoch / seconds, 1)
    return facts


def _tune(
    trainer: CompletionTrainer, base: Model, folder: Path, config: TrainConfig, resume: Path | None, *, evaluated: bool
) -> float:
    """Train to the end, or until the guard stops it, and write `<folder>/adapter`. One process writes. Returns the
    seconds of training, those of in-training evaluation among them."""
    first = trainer.is_world_process_zero()
    with writing(folder):
        started = time.monotonic()
        with contextlib.suppress(AlreadyStopped):
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        seconds = time.monotonic() - started
        if first and evaluated:
            take_best(trainer.state.log_history, config, folder / CHECKPOINTS, folder / "adapter")
        elif first:
            save_adapter(trainer.model, base, folder / "adapter")
    trainer.accelerator.wait_for_everyone()
    if first:
        remove_folder(folder / CHECKPOINTS)
    return seconds


def _last(history: Sequence[dict[str, Any]], key: str) -> float | None:
    return next((row[key] for row in reversed(history) if key in row), None)
