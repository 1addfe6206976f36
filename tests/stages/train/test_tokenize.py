"""Which tokens of a pair are supervised, and pairs that are too long."""

from __future__ import annotations

import logging

import pytest

from spillover.core.config import BuildConfig, EvaluateConfig, TrainConfig
from spillover.core.errors import ConfigError, DataError
from spillover.stages.build import build_pairs
from spillover.stages.train.stage import train
from spillover.stages.train.tokenize import IGNORE, open_pair_chat, tokenize_pairs
from tests.builders import make_model
from tests.models.chat_templates import FAMILIES, chat_model

TINY = TrainConfig(epochs=1, batch=4, batch_tokens=200, rank=2, checkpoint_steps=2, learning_rate=1e-2, validation=0.2)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=20))


def test_labels_cover_the_completion_and_the_end_alone(tiny, pairs):
    for pair, row in zip(pairs, tokenize_pairs(tiny, pairs, TINY), strict=True):
        supervised = [token for token in row["labels"] if token != IGNORE]
        assert tiny.tokenizer.decode(supervised) == pair.completion + "</s>"
        assert tiny.tokenizer.decode(row["input_ids"]) == pair.prompt + pair.completion + "</s>"


def test_a_pair_that_is_too_long_is_named(tiny, pairs):
    with pytest.raises(DataError, match=rf"1 training pair of more than 10 tokens: {pairs[0].id} "):
        tokenize_pairs(tiny, pairs[:1], TINY.model_copy(update={"max_tokens": 10}))


def test_no_pairs_and_no_chat_template_are_named(tiny, pairs, tmp_path):
    with pytest.raises(DataError, match="no training pairs"):
        train(tiny, [], out=tmp_path / "a", config=TINY)
    with pytest.raises(ConfigError, match="has no chat template"):
        train(tiny, pairs, out=tmp_path / "b", config=TINY.model_copy(update={"chat_template": True}))


def test_pairs_are_wrapped_in_the_models_own_chat_template(pairs):
    model = make_model()
    model.tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}<s>assistant: "
    )
    config = TINY.model_copy(update={"chat_template": True})
    row = tokenize_pairs(model, pairs[:1], config, open_pair_chat(model, config, EvaluateConfig()))[0]
    text = f"<s>user: {pairs[0].prompt.strip()}</s><s>assistant: {pairs[0].completion}</s>"
    assert model.tokenizer.decode(row["input_ids"]) == text
    assert model.tokenizer.decode([t for t in row["labels"] if t != IGNORE]) == pairs[0].completion + "</s>"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_end_of_turn_is_learned_and_nothing_behind_it(name, pairs):
    model, evaluate = chat_model(name), EvaluateConfig()
    chat = open_pair_chat(model, TINY, evaluate)
    for pair, row in zip(pairs, tokenize_pairs(model, pairs, TINY, chat), strict=True):
        supervised = [token for token in row["labels"] if token != IGNORE]
        assert model.tokenizer.decode(supervised) == pair.completion + FAMILIES[name].end
        messages = [{"role": "user", "content": pair.prompt.strip()}, {"role": "assistant", "content": pair.completion}]
        whole = model.tokenizer.apply_chat_template(messages, tokenize=False).rstrip()
        assert row["input_ids"] == model.tokenizer(whole, add_special_tokens=False)["input_ids"]
    without_end = TINY.model_copy(update={"end_of_text": False})
    bare = tokenize_pairs(model, pairs[:1], without_end, chat)[0]
    assert model.tokenizer.decode([t for t in bare["labels"] if t != IGNORE]) == pairs[0].completion


def test_pairs_follow_the_evaluations_chat_form_unless_they_say_otherwise():
    model, plain = chat_model("chatml"), TINY.model_copy(update={"chat_template": False})
    assert open_pair_chat(model, TINY, EvaluateConfig(chat="off")) is None
    assert open_pair_chat(model, plain, EvaluateConfig(chat="turns")) is None
    assert open_pair_chat(model, TINY, EvaluateConfig(chat="single", system_prompt="Be brief.")).system_prompt
    assert open_pair_chat(model, TINY.model_copy(update={"chat_template": True}), EvaluateConfig(chat="off"))


def test_long_pairs_are_dropped_or_cut_and_named(tiny, pairs, caplog):
    lengths = sorted(len(row["input_ids"]) for row in tokenize_pairs(tiny, pairs, TINY))
    limit = lengths[len(lengths) // 2]
    shorter = TINY.model_copy(update={"max_tokens": limit})
    with pytest.raises(DataError, match=rf"\d+ training pairs of more than {limit} tokens"):
        tokenize_pairs(tiny, pairs, shorter)
    with caplog.at_level(logging.WARNING):
        dropped = tokenize_pairs(tiny, pairs, shorter.model_copy(update={"long_pairs": "drop"}))
        cut = tokenize_pairs(tiny, pairs, shorter.model_copy(update={"long_pairs": "cut"}))
    left_out = [pair.id for i, pair in enumerate(pairs) if i not in {row["number"] for row in dropped}]
    assert 0 < len(dropped) < len(pairs)
    assert any(name in caplog.text for name in left_out)
    assert "left out" in caplog.text
    assert len(cut) > len(dropped)
    assert max(len(row["input_ids"]) for row in cut) == limit
    assert all(row["labels"][-1] != IGNORE for row in cut)
