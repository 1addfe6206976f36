"""Pairs in other trainers' formats: there and back, and what is no pair is named."""

from __future__ import annotations

import json

import pytest

from spillover.core.config import BuildConfig, load_config
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_yaml
from spillover.core.runs import open_run
from spillover.stages.build import build_pairs, build_run
from spillover.stages.build.formats import exchange_files, export, read_exchange
from spillover.tasks.benchmark import open_benchmark


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es", "de"], config=BuildConfig(pairs=4, replay=0.2))


@pytest.mark.parametrize("end", ["", "<|im_end|>"])
def test_llama_factory_there_and_back(pairs, tmp_path, end):
    folder = export(tmp_path, pairs, "llama-factory", load_config(), end=end)
    assert read_exchange(folder) == pairs
    assert read_exchange(folder / "dataset_info.json") == pairs
    assert read_exchange(folder / "pairs_sharegpt.json") == pairs
    info = json.loads((folder / "dataset_info.json").read_text())
    columns = info["pairs"]["columns"]
    rows = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
    for row, pair in zip(rows, pairs, strict=True):
        assert row[columns["prompt"]] == pair.prompt
        assert row[columns["query"]] == ""
        assert row[columns["response"]] == pair.completion + end
    assert info["pairs_sharegpt"]["formatting"] == "sharegpt"
    assert exchange_files(folder) == [folder / "dataset_info.json", folder / "pairs.json"]


def test_the_yaml_trains_the_same_adapter(pairs, tmp_path):
    config = load_config(train__rank=4, train__targets="all-linear", train__batch=8, model__name="some/model")
    values = read_yaml(export(tmp_path, pairs, "llama-factory", config) / "train.yaml")
    assert values["lora_rank"] == 4
    assert values["lora_target"] == "all"
    assert values["template"] == "empty"
    assert values["train_on_prompt"] is False
    assert values["per_device_train_batch_size"] * values["gradient_accumulation_steps"] == 8
    assert values["model_name_or_path"] == "some/model"


def test_the_yaml_names_the_packaged_model_as_others_load_it(pairs, tmp_path):
    values = read_yaml(export(tmp_path, pairs, "llama-factory", load_config()) / "train.yaml")
    assert values["model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_trl_there_and_back(pairs, tmp_path):
    path = export(tmp_path, pairs, "trl", load_config())
    assert read_exchange(path) == pairs
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert (first["prompt"], first["completion"]) == (pairs[0].prompt, pairs[0].completion)


def test_an_alpaca_file_joins_instruction_and_input(tmp_path):
    path = tmp_path / "alpaca.json"
    row = {
        "instruction": "Rese\u00f1a: bueno",
        "input": "Translate the input from Spanish to English:\n",
        "output": "Review: good",
    }
    path.write_text(json.dumps([row]))
    pair = read_exchange(path)[0]
    assert pair.prompt == "Rese\u00f1a: bueno\nTranslate the input from Spanish to English:\n"
    assert (pair.source, pair.target) == ("es", "en")


def test_exported_pairs_are_built_from_again(pairs, tmp_path):
    folder = export(tmp_path, pairs, "llama-factory", load_config())
    run = open_run(tmp_path / "run")
    benchmark, config = open_benchmark("sentiment"), BuildConfig(files=[str(folder)])
    built = build_run(run, benchmark, config)
    assert sorted(pair.id for pair in built) == sorted(pair.id for pair in pairs)
    assert build_run(run, benchmark, config) == built


def test_mistakes_are_named(pairs, tmp_path):
    with pytest.raises(ConfigError, match="--format axolotl: not known"):
        export(tmp_path, pairs, "axolotl", load_config())
    with pytest.raises(ConfigError, match="only for --format llama-factory"):
        export(tmp_path, pairs, "trl", load_config(), end="</s>")
    with pytest.raises(DataError, match=r"nowhere\.json: no such file"):
        read_exchange(tmp_path / "nowhere.json")
    info = tmp_path / "dataset_info.json"
    info.write_text(json.dumps({"pairs": {"file_name": "../pairs.json"}}))
    with pytest.raises(DataError, match=r"\.\./pairs\.json is not in its folder"):
        read_exchange(tmp_path)
    info.write_text("[]")
    with pytest.raises(DataError, match="its first entry names no file"):
        read_exchange(tmp_path)


def test_ready_made_pairs_of_the_paper(tmp_path):
    path = tmp_path / "questions.json"
    text = 'Prämisse: x\nAntwort: "\nTranslate the input from German to English:\n'
    path.write_text(json.dumps([{"input": text, "answer": 'Premise: x\nAnswer: "'}] * 3))
    pairs = read_exchange(path)[:2]
    assert [(pair.source, pair.target, pair.prompt) for pair in pairs] == [("de", "en", text)] * 2


@pytest.mark.parametrize("row", [{"input": "no instruction", "answer": "x"}, {"answer": "x"}, {"instruction": "hello", "output": "x"}, {"prompt": "", "completion": "x"}, {"conversations": [{"from": "gpt", "value": "x"}]}, {"input": "Translate the input from Elvish to English:", "answer": "x"}])  # fmt: skip
def test_a_row_that_is_not_a_ready_made_pair_is_named(tmp_path, row):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([row]))
    with pytest.raises(DataError, match=r"questions\.json:1"):
        read_exchange(path)
