"""The model card as the hub's own reader has it."""

from __future__ import annotations

import sys

import pytest
from huggingface_hub import ModelCard

from spillover.core.errors import MissingExtra, RunError
from spillover.core.files import write_json
from spillover.core.runs import open_run
from spillover.stages.report.model_card import write_card
from tests.stages.report.builders import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("card") / "run", model="someone/base")
    write_json(run.path / "train" / "adapter" / "spillover.json", {"base": {"name": "someone/base"}})
    return run


def test_the_hub_reads_base_languages_licence_and_results(run):
    card = ModelCard.load(write_card(run.path, licence="apache-2.0"), ignore_metadata_errors=False)
    assert card.data.base_model == "someone/base"
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "peft"
    assert card.data.language == ["en", "de", "ru", "th"]
    results = {(row.dataset_config, row.metric_type): row.metric_value for row in card.data.eval_results}
    assert set(results) >= {("unseen", "accuracy"), ("unseen", "auroc"), ("th", "accuracy")}
    assert all(0 <= value <= 1 for value in results.values())
    assert "Claim: training on German improves sentiment" in card.text or "No" in card.text
    assert "| German (trained on) | 24 |" in card.text


def test_without_a_licence_the_card_says_it_is_that_of_the_base(run):
    card = ModelCard.load(write_card(run.path))
    assert card.data.license == "other"
    assert "someone/base" in card.data.license_name


def test_the_packaged_model_is_known_by_its_name_on_the_hub(tmp_path):
    run = make_run(tmp_path / "run", model="smollm2-135m")
    card = ModelCard.load(write_card(run.path))
    assert card.data.license == "apache-2.0"
    assert card.data.base_model.startswith("HuggingFaceTB/")


def test_a_run_without_weights_and_scores_has_no_card(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    with pytest.raises(RunError, match="neither weights nor scores"):
        write_card(run.path)
    assert not (run.path / "model-card.md").exists()


def test_a_norwegian_code_stays_text(tmp_path):
    run = make_run(tmp_path / "run", model="someone/base", codes=("en", "no"), seen=["no"])
    text = write_card(run.path).read_text(encoding="utf-8")
    assert "- 'no'" in text
    assert ModelCard(text).data.language == ["no", "en"] or ModelCard(text).data.language == ["en", "no"]


def test_without_the_hub_package_the_extra_to_install_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match="huggingface_hub"):
        write_card(run.path)
