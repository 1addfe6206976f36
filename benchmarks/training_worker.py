"""One trainer of `training.py` in a process of its own.

`training_worker.py ours|trl|llamafactory MODEL DTYPE ROWS FOLDER`.

Prints a line with seconds, real tokens, losses by step, memory beyond the weights and the rate of a matrix product.
"""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import torch
from scoring_worker import ONE_THREAD, clock, forget_peak, memory_mib, product_rate

BATCH, RANK, ALPHA, RATE = 16, 8, 16, 2e-4


class Watch:
    """The clock between the first step's start and the last step's end, the losses, and the memory before it all."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def start(self) -> None:
        self.weights = memory_mib("VmRSS")
        forget_peak()
        self.started = clock()

    def stop(self) -> None:
        self.seconds = clock() - self.started
        self.extra_mib = memory_mib("VmHWM") - self.weights


def callback(watch: Watch):
    import transformers

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *_, **__):
            watch.start()

        def on_train_end(self, *_, **__):
            watch.stop()

        def on_log(self, args, state, control, logs=None, **_):
            if logs and "loss" in logs:
                watch.losses.append(float(logs["loss"]))

    return Clock()


def arguments(folder: str, dtype: str) -> dict:
    return {
        "output_dir": folder, "per_device_train_batch_size": BATCH, "num_train_epochs": 1, "learning_rate": RATE,
        "lr_scheduler_type": "constant", "logging_steps": 1, "report_to": "none", "save_strategy": "no",
        "disable_tqdm": True, "use_cpu": True, "seed": 0, "bf16": dtype == "bfloat16",
    }  # fmt: skip


def ours(model: str, dtype: str, rows: list[dict], folder: str, watch: Watch) -> None:
    from spillover.core.config import TrainConfig
    from spillover.core.types import TrainingPair
    from spillover.models.load import load_model
    from spillover.stages.train import stage

    base = load_model(model, dtype=dtype, device="cpu")
    pairs = [TrainingPair(row["id"], "", "", row["prompt"], row["completion"]) for row in rows]
    config = TrainConfig(
        rank=RANK, alpha=ALPHA, batch=BATCH, epochs=1, learning_rate=RATE, schedule="constant_with_warmup", warmup=0,
        validation=0, checkpoint_steps=10_000,
    )  # fmt: skip
    construct = stage.CompletionTrainer.__init__

    def with_clock(self, *, callbacks, **options):
        construct(self, callbacks=[*callbacks, callback(watch)], **options)

    stage.CompletionTrainer.__init__ = with_clock
    stage.train(base, pairs, out=folder, config=config)


def trl(model: str, dtype: str, rows: list[dict], folder: str, watch: Watch) -> None:
    """Its own defaults (gradient checkpointing among them) but for the loss on completions alone and the adapter."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list([{"prompt": row["prompt"], "completion": row["completion"]} for row in rows])
    module = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    SFTTrainer(
        model=module,
        args=SFTConfig(**arguments(folder, dtype), completion_only_loss=True, max_length=2048),
        train_dataset=data,
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        callbacks=[callback(watch)],
    ).train()


def llamafactory(model: str, dtype: str, rows: list[dict], folder: str, watch: Watch) -> None:
    from transformers import PreTrainedModel, Trainer  # noqa: F401  # it asks for torchaudio, truthfully answered no

    # LLaMA-Factory imports torchaudio for models that hear; no build of it goes with this torch, and text needs none.
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    from llamafactory.train.tuner import run_exp

    data = Path(folder) / "data"
    data.mkdir(parents=True)
    examples = [{"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in rows]
    (data / "pairs.json").write_text(json.dumps(examples, ensure_ascii=False), encoding="utf-8")
    (data / "dataset_info.json").write_text(json.dumps({"pairs": {"file_name": "pairs.json"}}), encoding="utf-8")
    settings = {
        "model_name_or_path": model, "stage": "sft", "do_train": True, "finetuning_type": "lora", "lora_rank": RANK,
        "lora_alpha": ALPHA, "lora_target": "q_proj,v_proj", "dataset": "pairs", "dataset_dir": str(data),
        "template": "empty", "cutoff_len": 2048, "overwrite_output_dir": True, "plot_loss": False,
        "preprocessing_num_workers": 1,
    }  # fmt: skip
    options = arguments(folder, dtype) | {"output_dir": f"{folder}/out"}
    run_exp(settings | options, callbacks=[callback(watch)])


def count(model: str, rows: list[dict]) -> tuple[int, int, float]:
    """(real tokens, supervised ones, floating-point operations of one pass): the same for all trainers. Of the frozen
    layers two products a token, forward and the gradient of its input; of the head as much, where it is supervised."""
    from transformers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    whole = sum(len(ids) + 1 for ids in tokenizer([row["prompt"] + row["completion"] for row in rows]).input_ids)
    supervised = sum(len(ids) + 1 for ids in tokenizer([row["completion"] for row in rows]).input_ids)
    hidden, heads = config.hidden_size, config.num_attention_heads
    width = getattr(config, "head_dim", None) or hidden // heads
    attention = 2 * hidden * width * (heads + config.num_key_value_heads)
    layer = attention + 3 * hidden * config.intermediate_size
    head = hidden * config.vocab_size
    return whole, supervised, 4.0 * (config.num_hidden_layers * layer * whole + head * supervised)


def main() -> None:
    trainer, model, dtype, path, folder = sys.argv[1:]
    shutil.rmtree(folder, ignore_errors=True)
    if ONE_THREAD:
        torch.set_num_threads(1)
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    watch = Watch()
    {"ours": ours, "trl": trl, "llamafactory": llamafactory}[trainer](model, dtype, rows, folder, watch)
    tokens, supervised, operations = count(model, rows)
    answer = {
        "seconds": watch.seconds, "tokens": tokens, "supervised": supervised, "operations": operations,
        "losses": watch.losses, "extra_mib": watch.extra_mib, "cube": product_rate(getattr(torch, dtype)),
    }  # fmt: skip
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
