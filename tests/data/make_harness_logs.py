"""Writes lm-eval.zip, logs that lm-evaluation-harness itself wrote; with the environment of `make bench`:

    make .venv-lm-eval/.installed
    .venv-lm-eval/bin/python tests/data/make_harness_logs.py

1. Two tiny random models, `before` and `after`, and local tasks, one for each shape of samples.
2. Evaluates both with `--log_samples` and packs the samples into one zip.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SENTENCES = {
    "en": ("The tea is {}.", "My neighbour finds the film {}.", "We thought the trip was {}.", "The soup tastes {}."),
    "de": ("Der Tee ist {}.", "Meine Nachbarin findet den Film {}.", "Die Reise war {}.", "Die Suppe schmeckt {}."),
}
WORDS = {"en": (("good", "lovely", "fine"), ("bad", "awful", "poor")), "de": (("gut", "schön", "fein"), ("schlecht", "übel", "mies"))}  # fmt: skip
ANSWERS = {"en": ["no", "yes certainly"], "de": ["nein", "ja gewiss"]}


def rows(code):
    """24 sentences: the text, its polarity as index and as a word, a count as text, and two choices of its own."""
    good, bad = WORDS[code]
    made = []
    for word_index in range(3):
        for i, sentence in enumerate(SENTENCES[code]):
            for label, words in enumerate((bad, good)):
                count = (i + word_index) % 3 + 1
                made.append({
                    "text": sentence.format(words[word_index]), "label": label, "word": ANSWERS[code][label], "count": str(count),
                    "own": [f"{bad[word_index]} {i}", f"{good[word_index]} {i} {label}"],
                })  # fmt: skip
    return made


def tasks(code, suffix):
    """Name → YAML of each task in one language."""
    metric = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm", "acc_mutual_info", "exact_match")]  # fmt: skip
    acc, norm, mutual, exact = metric
    choice = {"output_type": "multiple_choice", "doc_to_text": "{{text}}", "doc_to_choice": ANSWERS[code]}
    strict = {"name": "strict", "filter": [{"function": "take_first"}]}
    flexible = {
        "name": "flexible",
        "filter": [{"function": "regex", "regex_pattern": "([a-z])", "fallback": "none"}, {"function": "take_first"}],
    }
    made = {
        "norm": choice | {"doc_to_target": "label", "metric_list": [acc, norm]},
        "mutual": choice | {"doc_to_target": "label", "metric_list": [acc, mutual]},
        "words": choice | {"doc_to_target": "word", "metric_list": [acc]},
        "digits": choice | {"doc_to_target": "count", "doc_to_choice": ["1", "2", "3"], "metric_list": [acc]},
        "own": choice | {"doc_to_target": "label", "doc_to_choice": "{{own}}", "metric_list": [acc, norm]},
        "generated": {
            "output_type": "generate_until", "doc_to_text": "{{text}}", "doc_to_target": "e",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 2}, "filter_list": [strict, flexible], "metric_list": [exact],
        },
    }  # fmt: skip
    return {f"{name}_{suffix}": task for name, task in made.items()}


def save_model(folder, seed):
    """Two layers, random weights, byte-level BPE."""
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    own.train_from_iterator(
        [row["text"] for code in SENTENCES for row in rows(code)],
        trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = []
        for code, suffix in (("en", "eng_Latn"), ("de", "de")):
            data = folder / f"{code}.json"
            data.write_text(json.dumps(rows(code), ensure_ascii=False), encoding="utf-8")
            for task_name, task in tasks(code, suffix).items():
                task |= {"task": task_name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test"}  # fmt: skip
                (folder / f"{task_name}.yaml").write_text(yaml.safe_dump(task, allow_unicode=True), encoding="utf-8")
                names.append(task_name)
        for seed, side in enumerate(("before", "after")):
            save_model(folder / "models" / side, seed)
            command = [
                sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={folder}/models/{side},dtype=bfloat16",
                "--tasks", ",".join(names), "--include_path", name, "--log_samples", "--output_path", f"{folder}/out/{side}", "--device", "cpu",
                "--batch_size", "16",
            ]  # fmt: skip
            subprocess.run(command, check=True)
        with zipfile.ZipFile(Path(__file__).with_name("lm-eval.zip"), "w", zipfile.ZIP_LZMA) as archive:
            for path in sorted((folder / "out").rglob("samples_*.jsonl")):
                side = path.relative_to(folder / "out").parts[0]
                archive.write(path, f"{side}/{path.name}")


if __name__ == "__main__":
    main()
