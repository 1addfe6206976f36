"""Tiny random models and tokenizers, made here: no test loads anything but what it makes or what the package holds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import HealthCheck, settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from spillover.core.types import ModelRef
from spillover.models.load import Model
from spillover.tasks.examples import language_files, load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task

# The models here are so small that threads cost more than they save; the packaged one is scored with all of them.
if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)
# A busy machine is no failure: no test is judged by how long an example took.
settings.register_profile("spillover", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spillover")

TEXT = [
    'Review: good. Sentiment: "positive"',
    'Review: bad. Sentiment: "negative" different same',
    "Premise Hypothesis Answer entailment neutral contradiction Sentence",
    "评论 情感 正面 负面 รีวิว ความรู้สึก",
]


def _byte_level() -> Tokenizer:
    """Byte-level BPE, as in GPT-2, Llama 3, SmolLM, Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def _byte_fallback() -> Tokenizer:
    """SentencePiece-like BPE with byte fallback and no word boundaries, as in Llama 2 and Mistral: tokens cross anything,
    so that a label can grow together with the quote before it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=460, special_tokens=tokens, show_progress=False)
    tokenizer.train_from_iterator(['"positive', '"negative', '"ox', '"horse', "good", "bad", ": "], trainer)
    return tokenizer


def _whole_words() -> Tokenizer:
    """Words and single characters with an unknown token: the tokenizer that knows least."""
    characters = sorted({char for text in TEXT for char in text})
    vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", "positive", "negative", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer


TOKENIZERS = {"byte-level": _byte_level, "byte-fallback": _byte_fallback, "whole-words": _whole_words}


def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS[kind](), bos_token="<s>", eos_token="</s>")


FAMILIES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {}),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {}),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, {"sliding_window": 24}),
    "gemma2": (
        transformers.Gemma2Config,
        transformers.Gemma2ForCausalLM,
        {"sliding_window": 24, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 2.0},
    ),
    "gemma3": (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM, {"sliding_window": 24}),
    "gpt_neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM, {}),
    "bloom": (transformers.BloomConfig, transformers.BloomForCausalLM, {"n_layer": 2, "n_head": 4}),
}


def make_module(vocabulary: int, seed: int = 0, *, family: str = "llama") -> transformers.PreTrainedModel:
    """Two layers, four heads, two of them for keys and values; random weights that are large enough to matter."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096, "head_dim": 8,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "tie_word_embeddings": True,
    }  # fmt: skip
    config, kind, own = FAMILIES[family]
    module = kind(config(**shape | own))
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    return module.eval()


def make_model(kind: str = "byte-level", seed: int = 0, *, family: str = "llama") -> Model:
    tokenizer = make_tokenizer(kind)
    module = make_module(len(tokenizer), seed, family=family)
    return Model(ModelRef("tiny", None, None, f"tiny-{seed}"), module, tokenizer, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def tiny() -> Model:
    return make_model()


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A tiny model on disk, as a user's own folder."""
    return save_model(tmp_path / "tiny-model")


def save_model(folder: Path, seed: int = 0) -> Path:
    model = make_model(seed=seed)
    model.module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def demo_prompts():
    """Prompts of the demo data by (task, language, label set)."""

    def prompts(task: str, language: str, label_set: str = "english", limit: int | None = 6):
        wording = load_task(task)
        examples = load_parallel("demo", wording, "test", [language], limit=limit)
        return render(wording, examples[language], label_set=label_set)

    return prompts


@pytest.fixture(scope="session")
def all_languages() -> list[str]:
    return list(language_files("demo", load_task("sentiment"), "test"))


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def small_data(folder: Path, languages: tuple[str, ...] = ("en", "de", "es"), items: int = 6) -> Path:
    """A sentiment data folder of the user's own, parallel in a few languages."""
    for language in languages:
        test = [
            {"id": f"item-{i}", "review": f"review {i} in {language}", "label": ("positive", "negative")[i % 2]}
            for i in range(items)
        ]
        train = [{"id": f"question-{i}", "review": f"question {i} in {language}"} for i in range(items)]
        write_rows(folder / "sentiment" / "test" / f"{language}.jsonl", test)
        write_rows(folder / "sentiment" / "train" / f"{language}.jsonl", train)
    return folder


@pytest.fixture
def bfloat16_attention():
    """Skips where torch has the processor's AMX but was told not to use AVX-512: its own attention then raises."""
    states = torch.zeros(1, 1, 64, 32, dtype=torch.bfloat16)
    try:
        torch.nn.functional.scaled_dot_product_attention(states, states, states)
    except RuntimeError as error:
        pytest.skip(f"torch has no bfloat16 attention here: {error}")
