"""transformers' Trainer for pairs: batches in parts of so many tokens, the loss of completions alone.

Trainer is given one effective batch a step. `training_step` computes it in parts of at most `part_tokens` tokens; each
part's loss is divided by the completion tokens of the whole batch, on all processes, so that parts change nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import DistributedType
from torch.nn.functional import cross_entropy
from transformers.trainer_pt_utils import get_length_grouped_indices

from spillover.core.config import TrainConfig
from spillover.core.errors import ConfigError
from spillover.models.fast import sliced_loss
from spillover.models.fast.lora_kernel import compute_in_base_precision
from spillover.models.fast.packed_attention import NAME, packed
from spillover.models.fast.segments import UnsupportedAttention
from spillover.models.fast.unembedding import logits_at
from spillover.models.load import Model
from spillover.stages.train.alignment import Alignment
from spillover.stages.train.failures import check_loss
from spillover.stages.train.packing import Batch, Part, into_parts, pack, pad, texts_of

log = logging.getLogger(__name__)

# Where a process holds only a share of the weights, layers must be called as they are.
WHOLE_WEIGHTS = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.MULTI_XPU}
# The fused kernel's backward pass is slow on CPUs; beyond so many tokens plain attention costs too much memory.
PLAIN_TOKENS = 512
# Seeds of one run's epochs, far from other runs'.
EPOCH_STRIDE = 1_000_003
# A packed loss that is further than this from the padded one, relative to it, in float32, is wrong; in bfloat16 the two
# are rounded differently.
PACKED_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}


def training_arguments(
    base: Model, config: TrainConfig, folder: Path, seed: int, *, validation: int
) -> transformers.TrainingArguments:
    """Trainer's arguments. validation: how many rows it evaluates; they make one batch, so that their loss is the mean
    over tokens. ConfigError for a batch that cannot be divided among the processes."""
    on_cpu = base.device.type == "cpu"
    world = transformers.TrainingArguments(output_dir=str(folder), use_cpu=on_cpu).world_size
    if config.batch % world:
        raise ConfigError(
            f"train.batch: {config.batch} is not a multiple of {world} processes",
            hint=f"--set train.batch={world * (config.batch // world + 1)}",
        )
    steps = {"save_strategy": "steps", "save_steps": config.checkpoint_steps}
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
        optim="adamw_torch_fused",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=config.report_to or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=base.device.type == "cuda",
        use_cpu=on_cpu,
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        **steps,
    )


class LengthGroups(torch.utils.data.Sampler[int]):
    """A new random order in each epoch, in which a batch holds texts of nearly one length: few segments, no padding."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, epoch: Callable[[], int]) -> None:
        self.lengths, self.batch, self.seed, self.epoch = lengths, batch, seed, epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + EPOCH_STRIDE * self.epoch())
        return iter(get_length_grouped_indices(self.lengths, self.batch, generator=generator))


class CompletionTrainer(transformers.Trainer):  # type: ignore[misc]  # transformers is not typed
    """Trainer whose loss is the mean cross-entropy of completion tokens, computed in parts. ids: of the pairs, by
    index. alignment: what every second step computes instead, if anything."""

    def __init__(
        self, *, part_tokens: int, ids: Sequence[str], alignment: Alignment | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.part_tokens, self.ids, self.alignment = part_tokens, ids, alignment
        self.aligned = False
        # The loss below is already divided by the tokens of the whole batch.
        self.model_accepts_loss_kwargs = True
        self._loss_shifts_labels = False
        self.whole_weights = self.accelerator.distributed_type in WHOLE_WEIGHTS and not self.is_fsdp_enabled
        if self.whole_weights:
            compute_in_base_precision(self.model)
        self.vocabulary = int(self.model.config.get_text_config().vocab_size)
        self.packed = self._try_packing()

    def track(self, numbers: dict[str, float]) -> None:
        """Send numbers by name to the trackers of `report_to`, at the current step."""
        # A copy of the control: it must not count as logging the step.
        self.callback_handler.on_log(self.args, self.state, replace(self.control), numbers)

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
        """One order for any number of processes, that a resumed run makes again."""
        lengths = [len(row["input_ids"]) for row in train_dataset or self.train_dataset]
        batch = self.args.per_device_train_batch_size * self.args.world_size
        return LengthGroups(lengths, batch, self.args.seed, lambda: int(self.state.epoch or 0))

    def _try_packing(self) -> bool:
        """Whether the model's attention can be packed: its loss on two short texts in one row must be that of the same
        texts padded. Otherwise texts are padded, with a log line."""
        plain = self.model.get_base_model()
        rows = sorted(self.train_dataset, key=lambda row: len(row["input_ids"]))[:2]
        texts = texts_of(self._prepare_inputs(self.data_collator(rows)))
        before = plain.config._attn_implementation
        if not plain._can_set_attn_implementation():
            return False
        with torch.no_grad():
            padded = self.summed_loss(self.model, pad(texts))
            plain.set_attn_implementation(NAME)
            try:
                error = float((self.summed_loss(self.model, pack(texts)) - padded).abs() / padded.abs())
                reason = "" if error <= PACKED_TOLERANCE.get(plain.dtype, 3e-2) else f"its loss differs by {error:.2g}"
            except (UnsupportedAttention, TypeError, RuntimeError, ValueError) as failure:
                reason = str(failure).splitlines()[0][:120]
        if reason:
            longest = max(len(row["input_ids"]) for row in self.train_dataset)
            fused_is_slow = plain.device.type == "cpu" and longest <= PLAIN_TOKENS
            plain.set_attn_implementation("eager" if fused_is_slow and before == "sdpa" else before)
            log.info("texts are padded, not packed: %s", reason)
        return not reason

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Gradients of one effective batch; returns its mean loss: of this process's share, as Trainer averages it."""
        model.train()
        # By the step's number alone, so that a resumed run alternates as before.
        aligns = self.alignment is not None and self.state.global_step % 2 == 1
        numbers = self.alignment.pairs_in(inputs["numbers"].tolist()) if self.alignment and aligns else []
        self.aligned = bool(numbers)
        if self.alignment and numbers:
            return self._alignment_step(model, self.alignment, numbers)
        parts = self._parts(self._prepare_inputs(inputs))
        total = torch.zeros((), device=self.args.device)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            # DeepSpeed steps when gradients are marked as complete; the others by the context below.
            self.accelerator.gradient_state._set_sync_gradients(last)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, part, num_items_in_batch=num_items_in_batch)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _alignment_step(self, model: Any, alignment: Alignment, numbers: Sequence[int]) -> torch.Tensor:
        """Gradients of the alignment of a batch's pairs; returns its loss."""
        self.accelerator.gradient_state._set_sync_gradients(True)
        with self.compute_loss_context_manager():
            loss = alignment.loss(model, numbers, self.part_tokens, is_packed=self.packed)
        if not bool(torch.isfinite(loss)):
            ids = [self.ids[number] for number in numbers]
            check_loss(loss.detach(), self.vocabulary, ids, Path(self.args.output_dir))
        self.accelerator.backward(loss)
        return loss.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As Trainer's, with an alignment step's loss under its own name, and without the mean over both kinds."""
        if self.alignment:
            names = {"loss": "align_loss"} if self.aligned else {}
            logs = {names.get(name, name): value for name, value in logs.items() if name != "train_loss"}
        super().log(logs, start_time)

    def _parts(self, batch: Batch) -> list[Part]:
        texts = texts_of(batch)
        parts = list(into_parts(texts, self.part_tokens, packed=self.packed))
        if self.whole_weights:
            return parts
        # Processes that share weights must run the model equally often.
        most = int(self.accelerator.reduce(torch.tensor(-len(parts), device=self.args.device), "min").neg())
        return list(into_parts(texts, self.part_tokens, packed=self.packed, at_least=most))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Summed natural-log loss of a part's completion tokens over `num_items_in_batch`, the tokens of the whole
        batch; its own when None. ModelError names the pairs of a non-finite loss."""
        total = self.summed_loss(model, inputs)
        ids = [self.ids[number] for number in inputs.numbers]
        mean = total.detach() / max(1, len(inputs.targets))
        check_loss(mean, self.vocabulary, ids, Path(self.args.output_dir))
        loss = total / (len(inputs.targets) if num_items_in_batch is None else num_items_in_batch)
        if num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, {"loss": loss}) if return_outputs else loss

    def summed_loss(self, model: Any, part: Part) -> torch.Tensor:
        """The summed natural-log loss of a part's completion tokens, by the fast paths that this model supports."""
        plain = self.accelerator.unwrap_model(model)
        plain = plain.get_base_model() if hasattr(plain, "get_base_model") else plain
        options = {"input_ids": part.ids, "use_cache": False}
        if part.segments:
            options["position_ids"] = part.positions
        with packed(part.segments):
            if sliced_loss.unsupported_reason(plain) is None:
                with sliced_loss.summed_loss_at(plain, part.supervised, part.targets):
                    return model(**options).logits[0]  # type: ignore[no-any-return]
            with logits_at(plain, part.supervised):
                logits = model(**options).logits
        return cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), part.targets, reduction="sum")

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Any:
        """The validation loss alone, scaled so that the mean over processes is the mean over tokens."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            parts = self._parts(inputs)
            tokens = self.accelerator.reduce(
                torch.tensor(sum(len(part.targets) for part in parts)).to(self.args.device)
            )
            losses = [self.compute_loss(model, part, num_items_in_batch=tokens) for part in parts]
        return torch.stack(losses).sum(), None, None
