"""LoRA tuning on question-translation pairs: transformers' Trainer with peft adapters.

1. Tokenise each pair as one text; the completion's tokens are found by character offset.
2. Put adapters on a second module over the base's own tensors, so that the base stays what it was.
3. Train with length-grouped batches; the loss, and the logits, only where the completion is predicted.
4. Keep the best checkpoint by validation loss, save the adapter, and drop the checkpoints.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from spillover.core.config import TrainConfig
from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.core.files import atomic, atomic_folder, hash_of, write_json
from spillover.core.runs import open_run
from spillover.core.types import Progress, TrainingPair, no_progress
from spillover.models.head import logits_at
from spillover.models.labels import split_at
from spillover.models.load import BASE_FILE, Model, attach_adapter, share_weights

log = logging.getLogger(__name__)

IGNORE = -100
# On CPUs the backward pass of the fused attention kernel is slow: up to this length, plain attention trains 1.3 times
# faster (EXPERIMENTS.md). Beyond it, plain attention's memory, quadratic in length, is not worth it.
EAGER_TOKENS = 512
Row = dict[str, list[int]]


def train(
    base: Model,
    pairs: Sequence[TrainingPair],
    *,
    out: Path | str,
    config: TrainConfig | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Model:
    """The base with an adapter tuned on `pairs`, saved as `<out>/train/adapter`. A killed run goes on where it was.

    ModelError when the base cannot take the adapter, DataError for a pair that is longer than `config.max_tokens`.
    """
    config = config or TrainConfig()
    seed = seed if config.seed is None else config.seed
    run = open_run(out)
    folder = run.path / "train"
    settings = config.model_dump(exclude={"report_to", "keep_merged", "seed"}) | {
        "pairs": hash_of([asdict(pair) for pair in pairs]),
        "model": base.ref.fingerprint,
        "dtype": str(base.dtype).removeprefix("torch."),
        "seed": seed,
    }
    with run.stage("train", settings) as stage:
        if not (stage.finished and (folder / "adapter").is_dir()):
            stage.facts |= _train(base, pairs, folder, config, seed, progress)
    return attach_adapter(base, str(folder / "adapter"))


def _train(
    base: Model, pairs: Sequence[TrainingPair], folder: Path, config: TrainConfig, seed: int, progress: Progress
) -> dict[str, Any]:
    rows = tokenize_pairs(base, pairs, config)
    training, validation = _split(rows, config.validation, np.random.default_rng(seed))
    transformers.set_seed(seed)
    module = _with_adapter(base, config, longest=max(len(row["input_ids"]) for row in rows))
    checkpoints = folder / "checkpoints"
    trainer = CompletionTrainer(
        model=module,
        args=_arguments(base, config, checkpoints, seed, evaluates=bool(validation)),
        train_dataset=training,
        eval_dataset=validation or None,
        data_collator=pad_rows,
        callbacks=[_Reporter(folder / "steps.jsonl", progress)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    started = time.monotonic()
    resume = _last_checkpoint(checkpoints)
    if resume:
        log.info("going on from %s", resume.name)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    seconds = time.monotonic() - started
    _save_adapter(module, base, folder / "adapter")
    shutil.rmtree(checkpoints, ignore_errors=True)
    tokens = sum(len(row["input_ids"]) for row in training)
    facts = {
        "pairs": len(training),
        "validation_pairs": len(validation),
        "steps": trainer.state.global_step,
        "tokens_per_epoch": tokens,
        "loss": _last(trainer.state.log_history, "loss"),
        "validation_loss": trainer.state.best_metric,
        "dtype": str(base.dtype).removeprefix("torch."),
    }
    if not resume:
        facts["tokens_per_second"] = round(tokens * trainer.state.epoch / seconds, 1)
    return facts


def tokenize_pairs(base: Model, pairs: Sequence[TrainingPair], config: TrainConfig) -> list[Row]:
    """One row a pair: `input_ids`, and `labels` that are IGNORE up to where the completion starts."""
    if not pairs:
        raise DataError("no training pairs", hint="`spillover build` makes them")
    prompts = [_in_chat(base, pair.prompt) if config.chat_template else pair.prompt for pair in pairs]
    texts = [prompt + pair.completion for prompt, pair in zip(prompts, pairs, strict=True)]
    # A chat template writes the special tokens itself.
    encodings = base.tokenizer(texts, add_special_tokens=not config.chat_template).encodings or []
    end = [base.tokenizer.eos_token_id] if config.end_of_text and base.tokenizer.eos_token_id is not None else []
    limit = min(config.max_tokens, base.context)
    rows = []
    for pair, prompt, encoding in zip(pairs, prompts, encodings, strict=True):
        ids, start, _ = split_at(encoding, len(prompt))
        ids = ids + end
        if len(ids) > limit:
            raise DataError(
                f"training pair {pair.id} has {len(ids)} tokens, more than {limit}",
                hint="raise train.max_tokens, or leave it out",
            )
        rows.append({"input_ids": ids, "labels": [IGNORE] * start + ids[start:]})
    return rows


def _in_chat(base: Model, prompt: str) -> str:
    if not base.tokenizer.chat_template:
        raise ConfigError(f"train.chat_template: {base.ref.name} has no chat template", hint="leave it off")
    messages = [{"role": "user", "content": prompt}]
    return str(base.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _split(rows: list[Row], share: float, rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """(training rows, validation rows): a random `share`, at least one row of each when there is a share at all."""
    n = max(1, round(share * len(rows))) if share and len(rows) > 1 else 0
    order = rng.permutation(len(rows))
    return [rows[i] for i in order[n:]], [rows[i] for i in order[:n]]


def _with_adapter(base: Model, config: TrainConfig, longest: int) -> Any:
    """The base's tensors in a module of their own, with a fresh adapter on it. longest: tokens of the longest pair."""
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
    )
    try:
        module: Any = get_peft_model(share_weights(base.module), adapter)
    except ValueError as error:
        raise ModelError(
            f"train.targets {config.targets}: not in {base.ref.name} ({str(error).splitlines()[0][:120]})",
            hint="--set train.targets=all-linear, or the names of its linear layers",
        ) from None
    if base.device.type == "cpu" and longest <= EAGER_TOKENS:
        module.base_model.model.set_attn_implementation("eager")
    return module


def _arguments(
    base: Model, config: TrainConfig, folder: Path, seed: int, *, evaluates: bool
) -> transformers.TrainingArguments:
    micro = min(config.micro_batch, config.batch)
    world = transformers.TrainingArguments(output_dir=str(folder), use_cpu=base.device.type == "cpu").world_size
    if config.batch % (micro * world):
        raise ConfigError(
            f"train.batch: {config.batch} is not a multiple of micro_batch {micro} x {world} processes",
            hint=f"--set train.batch={micro * world}",
        )
    steps = {"save_strategy": "steps", "save_steps": config.checkpoint_steps, "save_total_limit": 2}
    if evaluates:
        steps |= {"eval_strategy": "steps", "eval_steps": config.checkpoint_steps, "load_best_model_at_end": True}
    return transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=config.batch // (micro * world),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,
        train_sampling_strategy="group_by_length",
        logging_steps=1,
        report_to=config.report_to or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=base.device.type == "cuda",
        use_cpu=base.device.type == "cpu",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        **steps,
    )


def pad_rows(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """A batch padded on the right: what follows a text cannot change a causal model's loss on it."""
    width = max(len(row["input_ids"]) for row in rows)
    lengths = [width - len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([row["input_ids"] + [0] * n for row, n in zip(rows, lengths, strict=True)]),
        "labels": torch.tensor([row["labels"] + [IGNORE] * n for row, n in zip(rows, lengths, strict=True)]),
    }


class CompletionTrainer(transformers.Trainer):  # type: ignore[misc]  # transformers is not typed
    """Trainer whose loss is the mean cross-entropy of completion tokens, with logits computed at those alone."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # The loss below is already divided by the tokens of the whole accumulated batch.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean over the effective batch's completion tokens of the natural-log loss."""
        following = inputs["labels"][:, 1:]
        rows, columns = (following != IGNORE).nonzero(as_tuple=True)
        with logits_at(self.accelerator.unwrap_model(model), rows * inputs["labels"].shape[1] + columns):
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
        targets = following[rows, columns]
        total = cross_entropy(logits.float(), targets, reduction="sum")
        loss = total / (len(targets) if num_items_in_batch is None else num_items_in_batch)
        if not torch.isfinite(loss):
            raise ModelError("the training loss is not a number", hint="lower train.learning_rate, or --dtype float32")
        return (loss, {"loss": loss}) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Any:
        """The validation loss alone; predictions are not kept."""
        with torch.no_grad():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach(), None, None


class _Reporter(transformers.TrainerCallback):  # type: ignore[misc]
    """Writes the loss curve as it grows, and moves the progress bar."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path, self.progress = path, progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress("train", state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        with atomic(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in state.log_history), encoding="utf-8")


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; trainer_state.json is written last, so one without it was cut short."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _save_adapter(module: Any, base: Model, folder: Path) -> None:
    with atomic_folder(folder) as partial:
        module.save_pretrained(partial)
        write_json(partial / BASE_FILE, {"base": asdict(replace(base.ref, adapter=None))})


def _last(history: Sequence[dict[str, Any]], key: str) -> float | None:
    return next((row[key] for row in reversed(history) if key in row), None)
