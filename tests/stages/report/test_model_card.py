"""The model card as the hub's own reader has it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from spillover.core.errors import MissingExtra, RunError
from spillover.core.files import write_json
from spillover.core.runs import open_run
from spillover.stages.compare.comparison_files import read_comparisons, write_comparisons
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
    assert set(results) >= {("unseen", "accuracy"), ("unseen", "auroc"), ("th", "auroc")}
    assert all(0 <= value <= 1 for value in results.values())
    assert "Claim: training on German improves sentiment" in card.text or "No" in card.text
    assert "| German (trained on) | 24 | 0." in card.text
    assert "| Language | Items | AUROC before | After | Change (interval) | Holm p |" in card.text


def test_without_a_licence_the_card_says_it_is_that_of_the_base(run):
    card = ModelCard.load(write_card(run.path))
    assert card.data.license == "other"
    assert "someone/base" in card.data.license_name


def test_the_packaged_model_is_known_by_its_name_on_the_hub(tmp_path):
    run = make_run(tmp_path / "run", model="smollm2-135m")
    card = ModelCard.load(write_card(run.path))
    assert card.data.license == "apache-2.0"
    assert card.data.base_model.startswith("HuggingFaceTB/")
    assert card.data.license_link.startswith("https://")
    assert f"its licence ({card.data.license_link}) holds" in card.text


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


EVIL = "](javascript:x)[y](http://evil.example) `</code>` ``|`` **b** <script>x</script><img src=x> # h\n\n# heading\n\n---\n\n- item\u202e\x1b[2J www.evil.example"


def test_hostile_names_in_a_card_are_only_text(tmp_path):
    run = make_run(tmp_path / "run", model=EVIL, name=EVIL)
    comparisons = read_comparisons(run.path / "compare")
    write_comparisons(run.path / "compare", [replace(one, task=EVIL) for one in comparisons])
    write_json(run.path / "train" / "adapter" / "spillover.json", {"base": {"name": EVIL}})
    settings = {"model": EVIL, "pairs": EVIL, "targets": [EVIL], "schedule": EVIL}
    facts = {"stopped": {"step": 1, "why": EVIL}, "pairs": EVIL}
    manifest = run.manifest()
    trained = {"state": "done", "key": "", "settings": settings, "facts": facts}
    run.update(stages=manifest["stages"] | {"train": trained}, versions={EVIL: EVIL})
    text = write_card(run.path).read_text(encoding="utf-8")
    card = ModelCard(text)
    assert card.data.model_name.startswith("](javascript:x)[y]"), "the front matter is whole"
    assert not set("\x1b\u202e") & set(text)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card.text)
    flat = [child for token in tokens for child in [token, *(token.children or [])]]
    kinds = {token.type for token in flat}
    assert not kinds & {"html_block", "html_inline", "image", "hr", "strong_open", "em_open", "fence", "code_block"}
    assert {token.attrs["href"] for token in flat if token.type == "link_open"} == {"https://arxiv.org/abs/2405.13816"}
    assert sum(token.type == "heading_open" for token in flat) == 3
    rows = [line for line in card.text.splitlines() if line.startswith("| ")]
    assert sum(token.type == "tr_open" for token in flat) == len(rows) == 5
