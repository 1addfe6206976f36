"""What tests build: tiny random models and tokenizers, data folders, tables of scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from spillover.core.types import Evaluation, LabelScores, ModelRef, Prompt
from spillover.models.load import Model
from spillover.stages.evaluate.score_tables import facts_of, write_scores
from spillover.stats.calibration import normalised

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
        # eager: the sdpa that older transformers give it drops the soft cap.
        {
            "sliding_window": 24,
            "final_logit_softcapping": 5.0,
            "attn_logit_softcapping": 2.0,
            "attn_implementation": "eager",
        },
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


def save_model(folder: Path, seed: int = 0) -> Path:
    model = make_model(seed=seed)
    model.module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, **options) -> Path:
    """A LoRA adapter with random weights on the model in `base`, as peft saves it."""
    torch.manual_seed(1)
    module = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(**({"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | options))
    adapted = get_peft_model(module, config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def prompts_of(n: int) -> list[Prompt]:
    """Prompts with a shared beginning and two answers."""
    shots = "Review: It broke. Sentiment: negative\n"
    answers = (" positive", " negative")
    return [Prompt(f"i{i}", "en", shots, f"Review: {'good ' * i}. Sentiment:", answers) for i in range(n)]


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


def table(logprobs, gold, labels=("a", "b")):
    logprobs = np.asarray(logprobs, dtype=np.float32).reshape(-1, len(labels))
    n = len(logprobs)
    return LabelScores("en", tuple(labels), tuple(f"i{i}" for i in range(n)), np.asarray(gold, dtype=np.int64), logprobs, np.ones(n, np.int32), np.ones(logprobs.shape, np.int32))  # fmt: skip


def random_table(rng, n=40, labels=("a", "b", "c")):
    return table(rng.normal(-3, 1, (n, len(labels))), np.arange(n) % len(labels), labels)


def evaluation(right, key="k"):
    """right: {language: [n] booleans}: which items the model gets right, with margins that differ."""
    scores = {}
    for code, hits in right.items():
        gold = np.arange(len(hits)) % 2
        logprobs = np.full((len(hits), 2), -2.0)
        chosen = np.where(hits, gold, 1 - gold)
        logprobs[np.arange(len(hits)), chosen] = -1 - np.arange(len(hits)) / len(hits) / 10
        scores[code] = replace(table(logprobs, gold), language=code)
    return Evaluation(ModelRef("m", None, None, key), "sentiment", "english", key, scores)


def random_hits(rng, share, n=100):
    return rng.random(n) < share


def random_evaluation(rng, languages, n, labels=("a", "b"), bias=0.0, skill=1.0):
    """Items as hard in every language, with a label prior and some noise of each language's own."""
    gold = np.arange(n) % len(labels)
    hard = rng.normal(0, 1, (n, 1))
    scores = {}
    for code in languages:
        logits = rng.normal(0, 1, (n, len(labels))) + bias * np.eye(len(labels))[0]
        logits[np.arange(n), gold] += (skill + hard)[:, 0]
        scores[code] = table(normalised(logits), gold, labels)
    scores = {code: type(own)(**(vars(own) | {"language": code})) for code, own in scores.items()}
    return Evaluation(ModelRef("m", None, None, "k"), "sentiment", "english", "k", scores)


def write_evaluation(run, name, side):
    """An evaluation's tables in a run folder, as the evaluate stage writes them."""
    for code, scores in side.scores.items():
        write_scores(run.path / "evaluate" / name / side.task / f"{code}.parquet", scores, facts_of(side))


KINDS = Path(__file__).with_name("data") / "kinds"
"""A task of each kind that brings its own answers (reading: choices, agreement: pairs), and letters, the template for
them, in tasks/; their data, in a few languages and with clusters, in data/."""


def kind_task(name: str) -> str:
    return str(KINDS / "tasks" / name)


KIND_DATA = str(KINDS / "data")
