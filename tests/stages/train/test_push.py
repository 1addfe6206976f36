"""What is published, with the network's edge replaced by a folder; and what a person is told when the hub refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError

from spillover.core.config import BuildConfig, ModelConfig, TrainConfig
from spillover.core.errors import ModelError, RunError
from spillover.core.runs import open_run
from spillover.models.load import attach_adapter, load_model
from spillover.stages.build import build_run
from spillover.stages.report.model_card import model_card
from spillover.stages.train.merging import merge_run
from spillover.stages.train.push import push
from spillover.stages.train.stage import train
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task
from tests.builders import save_model

TOKEN = "hf_secretsecretsecret"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("push")
    config = ModelConfig(name=str(save_model(root / "my-model")), dtype="float32", device="cpu")
    run = open_run(root / "run")
    pairs = build_run(run, open_benchmark("sentiment"), BuildConfig(sources=["es"], pairs=8))
    tuning = TrainConfig(epochs=1, batch=4, rank=2, learning_rate=1e-2, validation=0.0)
    train(load_model(config.name, dtype="float32", device="cpu"), pairs, out=run.path, config=tuning)
    task = load_task("sentiment")
    prompts = render(task, load_parallel("demo", task, "test", ["en"], limit=2)["en"], label_set="english")
    merge_run(run, config, prompts)
    return run, config


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's API as a folder."""

    class Folder:
        def __init__(self, token=None):
            pass

        def create_repo(self, repository, *, private, exist_ok):
            self.place = tmp_path / "hub" / repository
            self.place.mkdir(parents=True, exist_ok=exist_ok)
            (tmp_path / "private").write_text(str(private))
            return f"https://huggingface.co/{repository}"

        def create_commit(self, repository, operations, *, commit_message):
            for operation in operations:
                with operation.as_file() as file:
                    (self.place / operation.path_in_repo).write_bytes(file.read())

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub, "HfApi", Folder)
    return tmp_path / "hub"


def test_the_adapter_on_the_hub_loads_and_says_what_it_is(trained, hub, caplog):
    caplog.set_level(logging.DEBUG)
    run, config = trained
    assert (
        push(run, "me/mine", card=model_card(run, "adapter", "mine"), weights="adapter", private=True)
        == "https://huggingface.co/me/mine"
    )
    place = hub / "me" / "mine"
    own = run.path / "train" / "adapter" / "adapter_model.safetensors"
    assert (place / own.name).read_bytes() == own.read_bytes()
    attach_adapter(load_model(config.name, dtype="float32", device="cpu"), str(place))
    texts = {path.name: path.read_text() for path in place.iterdir() if path.suffix in (".json", ".md")}
    assert json.loads(texts["adapter_config.json"])["base_model_name_or_path"] == "my-model"
    assert not any(str(Path(config.name).parent) in text for text in texts.values())
    card = texts["README.md"]
    assert "library_name: peft" in card
    assert "\n- es\n" in card
    assert "Languages of the pairs: Spanish" in card
    assert "- Pairs: 8 (hash " in card
    assert "rank 2" in card
    assert "no evidence that it is better" in card
    assert "base_model:" not in card, "a folder is no repository"
    assert TOKEN not in caplog.text + "".join(texts.values()) + (run.path / "log.jsonl").read_text()
    assert (hub.parent / "private").read_text() == "True"


def test_merged_weights_on_the_hub_load(trained, hub):
    run, _ = trained
    push(run, "me/whole", card=model_card(run, "merged", "whole"))
    load_model(str(hub / "me" / "whole"), dtype="float32", device="cpu")
    assert "library_name: transformers" in (hub / "me" / "whole" / "README.md").read_text()


def refuses(status):
    return HfHubHTTPError(f"{status} {TOKEN}", response=SimpleNamespace(status_code=status, headers={}, request=None))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalTokenNotFoundError("none"), "no token for the hub"),
        (refuses(401), "the hub does not accept the token"),
        (refuses(403), "the token may not write there"),
        (refuses(503), "the hub answered 503"),
        (ConnectionError("name or service not known"), "the hub cannot be reached"),
        (HTTPError("name or service not known"), "the hub cannot be reached"),
    ],
)
def test_a_hub_that_refuses_is_one_line_without_the_token(trained, hub, monkeypatch, error, message):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refused)
    with pytest.raises(ModelError, match=message) as caught:
        push(trained[0], "me/mine", card="")
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_missing_weights_and_bad_names_are_refused(trained, hub, tmp_path):
    with pytest.raises(RunError, match="not a repository name"):
        push(trained[0], "no owner", card="")
    with pytest.raises(RunError, match="no train/merged found"):
        push(open_run(tmp_path / "empty"), "me/mine", card="")
