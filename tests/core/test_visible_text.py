from __future__ import annotations

import json

import pytest

from spillover.core.visible_text import visible, visible_json

ACTING = ["\x00", "\a", "\b", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u061c", "\u200f", "\u2028", "\u202e", "\u2066", "\ufeff", "\udcff"]  # fmt: skip


@pytest.mark.parametrize("char", ACTING)
def test_what_acts_on_a_terminal_is_shown_as_an_escape(char):
    shown = visible(f"a{char}b")
    assert char not in shown
    assert shown.startswith("a\\")
    assert shown.encode().decode("unicode_escape", errors="surrogatepass") == f"a{char}b"


@pytest.mark.parametrize(
    "text", ["plain", "می\u200cخواهم", "हिन्दी\u200d", "👩\u200d🔬", "中文", "é", "a\u00a0b", "\\n", "[red]"]
)
def test_letters_marks_and_joiners_stay(text):
    assert visible(text) == text


@pytest.mark.parametrize("char", ACTING)
def test_json_keeps_its_values(char):
    value = {f"key{char}": [f"a{char}b", 1]}
    for indent in (None, 2):
        shown = visible_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(shown) == value
        assert not set(shown) & set(ACTING) - {"\n"}
