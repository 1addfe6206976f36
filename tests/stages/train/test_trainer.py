"""A batch in parts learns what a plain loop over whole texts learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from spillover.core.config import BuildConfig, TrainConfig
from spillover.models.fast import packed_attention
from spillover.models.fast.packed_attention import NAME
from spillover.stages.build import build_pairs
from spillover.stages.train.adapters import with_adapter
from spillover.stages.train.packing import collate
from spillover.stages.train.stage import train
from spillover.stages.train.tokenize import IGNORE, tokenize_pairs
from spillover.stages.train.trainer import CompletionTrainer, LengthGroups
from tests.builders import make_model

CONFIG = TrainConfig(
    epochs=1, batch=4, batch_tokens=250, rank=2, learning_rate=1e-2, validation=0.0, checkpoint_steps=99
)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=14))


def whole_text_loss(module, row):
    """The summed loss of one row by all its logits, in a row of its own."""
    logits = module(torch.tensor([row["input_ids"]]), use_cache=False).logits[0, :-1]
    return cross_entropy(logits.float(), torch.tensor(row["labels"][1:]), ignore_index=IGNORE, reduction="sum")


def gradients(module):
    by_name = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return by_name


def make_trainer(base, rows, tmp_path, config=CONFIG):
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    return CompletionTrainer(
        model=with_adapter(base, config), args=arguments, train_dataset=rows, data_collator=collate,
        part_tokens=config.batch_tokens, ids=[str(i) for i in range(len(rows))],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("family", "is_packed"),
    [("llama", True), ("qwen3", True), ("mistral", True), ("gemma2", False), ("gemma3", True), ("bloom", False)],
)
def test_parts_have_the_loss_and_gradients_of_single_texts(pairs, tmp_path, family, is_packed):
    base = make_model(family=family)
    config = CONFIG.model_copy(update={"targets": "all-linear"})
    rows = tokenize_pairs(base, pairs, config)[:6]
    trainer = make_trainer(base, rows, tmp_path, config)
    assert trainer.packed == is_packed
    module = trainer.model
    for name, parameter in module.named_parameters():  # B starts as zero, which would hide A's gradient
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, 0, 0.1)
    tokens = sum(label != IGNORE for row in rows for label in row["labels"])
    if is_packed:
        module.get_base_model().set_attn_implementation("eager")
    sums = [whole_text_loss(module, row) for row in rows]
    (sum(sums) / tokens).backward()
    wanted, expected = gradients(module), sum(sums).item() / tokens
    if is_packed:
        module.get_base_model().set_attn_implementation(NAME)
    measured = trainer.training_step(module, collate(rows), torch.tensor(tokens))
    assert float(measured) == pytest.approx(expected, abs=1e-4)
    computed = gradients(module)
    assert computed.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(computed[name], gradient, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_long_texts_attend_by_the_fused_kernel_with_the_same_loss(pairs, tmp_path, monkeypatch, family):
    base = make_model(family=family)
    rows = tokenize_pairs(base, pairs, CONFIG)[:5]
    losses = []
    for longest in (10_000, 1):
        monkeypatch.setattr(packed_attention, "WEIGHTS_TOKENS", longest)
        torch.manual_seed(0)
        trainer = make_trainer(base, rows, tmp_path)
        assert trainer.packed
        losses.append(trainer.training_step(trainer.model, collate(rows), torch.tensor(100)).item())
        losses.append(sum(p.grad.square().sum().item() for p in trainer.model.parameters() if p.grad is not None))
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-4)


def test_loss_curve_equals_a_plain_loop_on_the_same_batches(pairs, tmp_path, monkeypatch):
    batches, losses = [], []
    step = CompletionTrainer.training_step

    def recorded(self, model, inputs, tokens=None):
        batches.append(inputs["numbers"].tolist())
        losses.append(float(step(self, model, inputs, tokens)))
        return torch.tensor(losses[-1])

    monkeypatch.setattr(CompletionTrainer, "training_step", recorded)
    train(make_model(), pairs, out=tmp_path / "run", config=CONFIG.model_copy(update={"epochs": 2.0}), seed=5)
    base = make_model()
    rows = tokenize_pairs(base, pairs, CONFIG)
    transformers.set_seed(5)
    module = with_adapter(base, CONFIG)
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    schedule = transformers.get_scheduler("cosine", optimizer, num_warmup_steps=1, num_training_steps=len(batches))
    reference = []
    for numbers in batches:
        tokens = sum(label != IGNORE for i in numbers for label in rows[i]["labels"])
        loss = sum(whole_text_loss(module, rows[i]) for i in numbers) / tokens
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        reference.append(loss.item())
    assert len(losses) == 8
    assert max(losses) - min(losses) > 1e-2
    np.testing.assert_allclose(losses, reference, atol=1e-4)


def test_batches_hold_texts_of_nearly_one_length_in_an_order_that_epochs_change():
    lengths = np.random.default_rng(0).integers(20, 200, 400).tolist()
    epoch = [0]
    sampler = LengthGroups(lengths, 16, 3, lambda: epoch[0])
    first = list(sampler)
    assert sorted(first) == list(range(400))
    assert list(sampler) == first
    epoch[0] = 1
    assert list(sampler) != first
    spreads = [np.ptp([lengths[i] for i in first[start : start + 16]]) for start in range(16, 384, 16)]
    assert np.mean(spreads) < 60


def test_accumulated_batches_learn_what_whole_ones_do(pairs, tmp_path):
    for name, tokens in (("whole", 10_000), ("parts", 100)):
        config = CONFIG.model_copy(update={"batch_tokens": tokens})
        train(make_model(), pairs[:4], out=tmp_path / name, config=config)
    whole, parts = (
        load_file(tmp_path / name / "train" / "adapter" / "adapter_model.safetensors") for name in ("whole", "parts")
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], atol=2e-4, rtol=2e-3)
