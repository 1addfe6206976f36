from __future__ import annotations

import sys

import pytest
from pydantic import ValidationError

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError
from spillover.models.translators import open_translator
from tests.builders import save_model
from tests.models.translators.builders import ENGLISH, GERMAN


def test_each_kind_is_opened(tmp_path):
    causal = open_translator(
        TranslatorConfig(causal=str(save_model(tmp_path / "tiny"))), sentences={"en": ["one"], "de": ["eins"]}
    )
    assert "German: eins" in causal.prompt(ENGLISH, GERMAN)
    assert open_translator(TranslatorConfig(command=[sys.executable])).prompt(ENGLISH, GERMAN) == ""


def test_no_translator_is_an_error_that_names_them():
    with pytest.raises(ConfigError, match="none given") as error:
        open_translator(TranslatorConfig())
    assert "--seq2seq, --server, --causal, --command" in error.value.hint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seq2seq": "a", "causal": "b"}, "seq2seq and causal exclude each other"),
        ({"server": "http://a"}, "server needs name"),
        ({"name": "a"}, "name goes with server"),
        ({"command": [""]}, "at least 1 character"),
        ({"batch": 0}, "greater than or equal to 1"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        TranslatorConfig(**values)
