"""transformers' Trainer for pairs: batches in parts of so many tokens, the loss of completions alone.

Trainer is given one effective batch a step. `training_step` computes it in parts of at most `part_tokens` padded
tokens; each part's loss is divided by the completion tokens of the whole batch, on all processes, so that parts change
nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.functional import cross_entropy

from spillover.core.config import TrainConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.models.head import logits_at
from spillover.models.load import Model
from spillover.train.rows import IGNORE, Row

Batch = dict[str, torch.Tensor]


def training_arguments(
    base: Model, config: TrainConfig, folder: Path, seed: int, *, validation: int
) -> transformers.TrainingArguments:
    """What Trainer is told. validation: how many rows it evaluates; they make one batch, so that their loss is the mean
    over tokens. ConfigError for a batch that cannot be divided among the processes."""
    on_cpu = base.device.type == "cpu"
    world = transformers.TrainingArguments(output_dir=str(folder), use_cpu=on_cpu).world_size
    if config.batch % world:
        raise ConfigError(
            f"train.batch: {config.batch} is not a multiple of {world} processes",
            hint=f"--set train.batch={world * (config.batch // world + 1)}",
        )
    steps = {"save_strategy": "steps", "save_steps": config.checkpoint_steps, "save_total_limit": 2}
    if validation:
        steps |= {"eval_strategy": "steps", "eval_steps": config.checkpoint_steps, "load_best_model_at_end": True}
    return transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch // world,
        per_device_eval_batch_size=-(-validation // world) or 1,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,
        train_sampling_strategy="group_by_length",
        logging_steps=1,
        report_to=config.report_to or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=base.device.type == "cuda",
        use_cpu=on_cpu,
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        **steps,
    )


def pad_rows(rows: Sequence[Row]) -> Batch:
    """A batch padded on the right: what follows a text cannot change a causal model's loss on it."""
    width = max(len(row["input_ids"]) for row in rows)
    lengths = [width - len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([row["input_ids"] + [0] * n for row, n in zip(rows, lengths, strict=True)]),
        "labels": torch.tensor([row["labels"] + [IGNORE] * n for row, n in zip(rows, lengths, strict=True)]),
        "numbers": torch.tensor([row["number"] for row in rows]),
    }


class CompletionTrainer(transformers.Trainer):  # type: ignore[misc]  # transformers is not typed
    """Trainer whose loss is the mean cross-entropy of completion tokens, computed in parts."""

    def __init__(self, *, part_tokens: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.part_tokens = part_tokens
        # The loss below is already divided by the tokens of the whole batch.
        self.model_accepts_loss_kwargs = True

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Gradients of one effective batch; returns its mean loss (of this process's share, scaled like the whole)."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        parts = list(in_parts(inputs, self.part_tokens))
        total = torch.zeros((), device=self.args.device)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, part, num_items_in_batch=num_items_in_batch)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum of the natural-log loss over completion tokens, divided by those of the whole batch."""
        following = inputs["labels"][:, 1:]
        rows, columns = (following != IGNORE).nonzero(as_tuple=True)
        with logits_at(self.accelerator.unwrap_model(model), rows * inputs["labels"].shape[1] + columns):
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
        targets = following[rows, columns]
        total = cross_entropy(logits.float(), targets, reduction="sum")
        loss = total / (len(targets) if num_items_in_batch is None else num_items_in_batch)
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        if not torch.isfinite(loss):
            raise ModelError("the training loss is not a number", hint="lower train.learning_rate, or --dtype float32")
        return (loss, {"loss": loss}) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Any:
        """The validation loss alone; predictions are not kept."""
        inputs = self._prepare_inputs(inputs)
        tokens = (inputs["labels"][:, 1:] != IGNORE).sum()
        with torch.no_grad():
            parts = list(in_parts(inputs, self.part_tokens))
            loss = sum(self.compute_loss(model, part, num_items_in_batch=tokens) for part in parts)
        return loss / self.accelerator.num_processes, None, None


def in_parts(batch: Batch, tokens: int) -> Iterator[Batch]:
    """The batch's rows, longest first, in parts of at most so many padded tokens; one row at the least."""
    lengths = [
        int(n)
        for n in (batch["labels"] != IGNORE)
        .int()
        .mul(torch.arange(1, batch["labels"].shape[1] + 1, device=batch["labels"].device))
        .amax(1)
    ]
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        width = lengths[order[0]]
        now, order = order[: max(1, tokens // width)], order[max(1, tokens // width) :]
        yield {name: value[now, :width] if value.dim() == 2 else value[now] for name, value in batch.items()}
