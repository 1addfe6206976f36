"""The alignment step: its loss is that of a direct computation, and it is learned, alternated and resumed."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.functional import cosine_similarity

from spillover.core.config import BuildConfig, TrainConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import TrainingPair
from spillover.stages.build import build_pairs
from spillover.stages.train.adapters import with_adapter
from spillover.stages.train.alignment import info_nce, open_alignment, states_at
from spillover.stages.train.packing import collate
from spillover.stages.train.stage import train
from spillover.stages.train.tokenize import tokenize_pairs
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model
from tests.stages.train.builders import CHECKPOINT_EACH_STEP, adapter_bytes
from tests.stages.train.test_trainer import gradients, make_trainer

CONFIG = TrainConfig(
    epochs=1, batch=4, batch_tokens=90, rank=2, learning_rate=1e-2, validation=0.0, checkpoint_steps=99, align=1
)


def a_trainer(pairs, tmp_path, config=CONFIG, family="llama"):
    base = make_model(family=family)
    trainer = make_trainer(base, tokenize_pairs(base, pairs, config), tmp_path, config)
    for name, parameter in trainer.model.named_parameters():  # B starts as zero, which would hide A's gradient
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, 0, 0.1)
    trainer.alignment = open_alignment(base, trainer.model, pairs, config, 1)
    return base, trainer


def direct_loss(base, module, pairs, layer):
    """As the definition says, a text at a time, by transformers' own hidden states."""
    states = [
        [
            module(torch.tensor([base.tokenizer(text)["input_ids"]]), output_hidden_states=True)
            .hidden_states[layer][0]
            .mean(0)
            for text in texts
        ]
        for texts in (
            [pair.prompt.rstrip("\n").rpartition("\n")[0] for pair in pairs],
            [p.completion.strip() for p in pairs],
        )
    ]
    total = 0
    for own, other in (states, states[::-1]):
        for i, state in enumerate(own):
            scores = torch.stack([cosine_similarity(state, candidate, dim=0) for candidate in other]) / 0.1
            total = total - scores.log_softmax(0)[i] / len(own)
    return total / 2


@pytest.mark.parametrize(("family", "is_packed"), [("llama", True), ("gemma2", False)])
def test_loss_and_gradients_are_those_of_a_direct_computation(sixteen_pairs, tmp_path, family, is_packed):
    pairs = sixteen_pairs[:5]
    base, trainer = a_trainer(pairs, tmp_path, family=family)
    assert trainer.packed == is_packed
    module = trainer.model
    if is_packed:
        packed_name = module.get_base_model().config._attn_implementation
        module.get_base_model().set_attn_implementation("eager")
    wanted = direct_loss(base, module, pairs, 1)
    wanted.backward()
    expected = gradients(module)
    if is_packed:
        module.get_base_model().set_attn_implementation(packed_name)
    trainer.state.global_step = 1
    measured = trainer.training_step(module, collate(tokenize_pairs(base, pairs, CONFIG)))
    assert float(measured) == pytest.approx(float(wanted.detach()), abs=1e-4)
    computed = gradients(module)
    assert computed.keys() == expected.keys()
    assert all(".layers.0." in name for name in computed), "nothing behind the layer is computed"
    for name, gradient in expected.items():
        torch.testing.assert_close(computed[name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_steps_alternate_and_a_batch_without_parallel_pairs_is_translated(sixteen_pairs, tmp_path):
    replay = [TrainingPair(f"r{i}", "en", "en", "a\nb\n", f"text {i}") for i in range(4)]
    base, trainer = a_trainer([*sixteen_pairs[:4], *replay], tmp_path)
    rows = tokenize_pairs(base, [*sixteen_pairs[:4], *replay], CONFIG)
    done = []
    for step, batch in enumerate((rows[:4], rows[:4], rows[4:], rows[4:])):
        trainer.state.global_step = step
        trainer.training_step(trainer.model, collate(batch))
        done.append(trainer.aligned)
    assert done == [False, True, False, False]


def test_a_text_that_two_pairs_share_is_no_negative():
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(3, 8, generator=generator), torch.randn(3, 8, generator=generator)
    target[1] = target[0]
    shared = torch.zeros(3, 3, dtype=torch.bool)
    shared[0, 1] = shared[1, 0] = True
    similarities = cosine_similarity(source[:, None], target[None], dim=-1) / 0.1
    losses = []
    for scores in (similarities, similarities.T):
        for i, others in enumerate(([0, 2], [1, 2], [0, 1, 2])):
            losses.append(scores[i, others].logsumexp(0) - scores[i, i])
    torch.testing.assert_close(info_nce(source, target, shared), torch.stack(losses).mean())


def test_pairs_that_share_a_text_are_found(tmp_path):
    pairs = build_pairs("sentiment", languages=["es", "de"], config=BuildConfig(pairs=3))
    same = {(i, j) for i, a in enumerate(pairs) for j, b in enumerate(pairs) if i != j and a.completion == b.completion}
    assert same
    _, trainer = a_trainer(pairs, tmp_path)
    seen = []

    def record(source, target, shared):
        seen.append({(int(i), int(j)) for i, j in shared.nonzero()})
        return info_nce(source, target, shared)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spillover.stages.train.alignment.info_nce", record)
        trainer.alignment.loss(trainer.model, range(len(pairs)), 90, is_packed=True)
    assert seen == [same]


def test_it_is_learned_beside_the_translation_and_logged_by_itself(sixteen_pairs, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 5, "targets": "all-linear", "learning_rate": 3e-2})
    train(make_model(), sixteen_pairs, out=tmp_path / "run", config=config)
    rows = [json.loads(line) for line in (tmp_path / "run" / "train" / "steps.jsonl").read_text().splitlines()]
    align, loss = ({row["step"]: row[key] for row in rows if key in row} for key in ("align_loss", "loss"))
    assert list(align) == list(range(2, 21, 2))
    assert list(loss) == list(range(1, 21, 2))
    values = [[*curve.values()] for curve in (align, loss)]
    assert all(sum(curve[-3:]) < sum(curve[:3]) for curve in values)
    assert not any("train_loss" in row for row in rows), "the mean of two kinds of loss"
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]["train"]
    assert "align_loss" in json.dumps(facts)


@pytest.fixture(scope="module")
def aligned(sixteen_pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned") / "run"
    config = CHECKPOINT_EACH_STEP.model_copy(update={"align": 1, "dropout": 0.1})
    train(make_model(), sixteen_pairs, out=folder, config=config)
    return config, adapter_bytes(folder)


def test_same_seed_same_bytes(aligned, sixteen_pairs, tmp_path):
    config, wanted = aligned
    train(make_model(), sixteen_pairs, out=tmp_path / "again", config=config)
    assert adapter_bytes(tmp_path / "again") == wanted


@pytest.mark.parametrize("after", [1, 2])
def test_resumed_from_a_step_of_either_kind_gives_the_same_bytes(aligned, sixteen_pairs, tmp_path, monkeypatch, after):
    config, wanted = aligned
    step = CompletionTrainer.training_step

    def killed(self, *arguments, **options):
        if self.state.global_step == after:
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    monkeypatch.setattr(CompletionTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), sixteen_pairs, out=tmp_path / "run", config=config)
    monkeypatch.setattr(CompletionTrainer, "training_step", step)
    train(make_model(), sixteen_pairs, out=tmp_path / "run", config=config)
    assert adapter_bytes(tmp_path / "run") == wanted


def test_the_placebo_aligns_what_the_arm_pairs():
    real, placebo = (
        build_pairs("sentiment", languages=["es"], config=BuildConfig(arm=arm)) for arm in ("translate", "shuffled")
    )
    translations = {pair.question: pair.completion for pair in real}
    base = make_model()
    texts = open_alignment(base, with_adapter(base, CONFIG), placebo, CONFIG, 1).texts
    assert len(texts) == len(placebo) == len(real)
    for number, pair in enumerate(placebo):
        source, target = (base.tokenizer.decode(side.ids) for side in texts[number])
        assert (source, target) == (pair.question, pair.completion.strip())
        assert target != translations[source].strip()


def test_states_are_those_of_the_named_layer(sixteen_pairs):
    module = make_model().module
    ids = torch.arange(5, 25)[None]
    every = module(ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(states_at(module, 1, input_ids=ids), every[1][0])
    normed = module.model.norm(states_at(module, 2, input_ids=ids))
    torch.testing.assert_close(normed, every[2][0], msg="transformers norms its last hidden state")


@pytest.mark.parametrize(
    ("change", "world_size", "message"),
    [({"align": 3}, 1, "has layers 1 to 2"), ({"layers": "1"}, 1, "no adapter below it"), ({}, 2, "one process alone")],
)
def test_what_cannot_be_aligned_is_one_line_with_its_cure(sixteen_pairs, change, world_size, message):
    base, config = make_model(), CONFIG.model_copy(update=change)
    with pytest.raises(ConfigError, match=message) as error:
        open_alignment(
            base, with_adapter(base, config.model_copy(update={"align": None})), sixteen_pairs, config, world_size
        )
    assert error.value.hint


def test_pairs_of_one_language_are_refused():
    pairs = [TrainingPair(f"r{i}", "en", "en", "a\nb\n", f"text {i}") for i in range(4)]
    base = make_model()
    with pytest.raises(DataError, match="0 of 4 training pairs are of two languages"):
        open_alignment(base, with_adapter(base, CONFIG), pairs, CONFIG, 1)
