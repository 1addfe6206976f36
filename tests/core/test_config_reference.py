from __future__ import annotations

from pathlib import Path

from spillover.core.config_reference import config_keys, config_page


def test_every_key_is_listed():
    keys = {key.name for key in config_keys()}
    assert {"name", "train.rank", "evaluate.labels", "model.trust_remote_code"} <= keys


def test_every_key_has_a_description_and_a_type():
    keys = config_keys()
    assert len(keys) > 90
    assert [key.name for key in keys if not key.description or not key.kind] == []
    assert {key.name: key.default for key in keys}["train.rank"] == "8"
    assert {key.name: key.kind for key in keys}["compare.level"] == "number > 0, < 1"
    assert {key.name: key.kind for key in keys}["evaluate.rule"] == "exact, paper"


def test_the_page_of_the_config_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "config.md"
    assert page.read_text(encoding="utf-8") == config_page(), (
        "python -m spillover.core.config_reference > docs/config.md"
    )
