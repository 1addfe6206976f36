from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.stages.audit.encoding import repair_mojibake, repair_text, unescape

WORDS = st.text(st.sampled_from("äöüßéèêçñåøæžščłжщяあ漢字ก"), min_size=1, max_size=8)


@given(WORDS.filter(lambda word: len(word) > 1 or word in "äöüßéèêçñåøæžščłż"))
def test_mojibake_of_both_kinds_is_read_again(word):
    assert repair_mojibake(word.encode("utf-8").decode("latin-1")) == word


@pytest.mark.parametrize(
    "text",
    [
        "Größe – „so“ … 5 €",
        "naïve café",
        "ÄÖÜ",
        "IMPRESSIONNÉ\u00a0!",
        "« été\u00a0»",
        "„groß“",
        "ßš",
        "Ã",
        "Â°",
        "x",
        "",
    ],
)
def test_clean_text_is_left_alone(text):
    assert repair_mojibake(text) in (text, "°")


def test_windows_mojibake():
    assert repair_mojibake("itâ€™s dâ€™accord, cafÃ©") == "it’s d’accord, café"


def test_html_entities_and_double_escapes_are_removed():
    assert unescape(r"caf\u00e9 \"x\" &amp; C:\temp") == 'café "x" & C:\temp'
    assert repair_text("caf\u00c3\u00a9 &amp; bar") == "café & bar"
