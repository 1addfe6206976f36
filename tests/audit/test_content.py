from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.audit.content import encoding_damage, markup, unescape, unscramble
from spillover.audit.sheet import digit_strings, number_hash
from tests.audit.test_checks import change, found
from tests.audit.test_text import sheet
from tests.conftest import small_data

WORDS = st.text(st.sampled_from("äöüßéèêçñåøæžščłжщяあ漢字ก"), min_size=1, max_size=8)


@given(WORDS.filter(lambda word: len(word) > 1 or word in "äöüßéèêçñåøæžščłż"))
def test_mojibake_of_both_kinds_is_read_again(word):
    assert unscramble(word.encode("utf-8").decode("latin-1")) == word


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
    assert unscramble(text) in (text, "°")


def test_windows_mojibake():
    assert unscramble("itâ€™s dâ€™accord, cafÃ©") == "it’s d’accord, café"


def test_encoding_faults_are_named_apart():
    checks = {
        f.check: f.example_ids
        for f in encoding_damage(sheet("de", ["Gr\u00c3\u00b6\u00c3\u009fe", "x \ufffd y", "was????", "fein"]))
    }
    assert checks == {"mojibake": ("0",), "lost-characters": ("1", "2")}


def test_markup_is_found_unless_the_reference_has_it():
    rows = ["Tom &amp; Jerry", r"caf\u00e9 \"x\"", "<b>fett", "a &lt; b", "AT&T <br> x"]
    english = ["Tom and Jerry", "cafe", "bold", "a &lt; b", "AT&T <br> x"]
    found_rows = {f.check: f.example_ids for f in markup(sheet("de", rows, english))}
    assert found_rows == {"escaped-text": ("0", "1"), "broken-markup": ("2",)}
    assert unescape(r"caf\u00e9 \"x\" &amp; C:\temp") == 'café "x" & C:\temp'


@pytest.mark.parametrize(
    ("text", "digits"),
    [("1,000 and 1 000 and 1.000", {"1000"}), ("3.5 or 3,5", {"35"}), ("१९९९", {"1999"}), ("10, 20", {"10", "20"}), ("none", set())],
)  # fmt: skip
def test_numbers_are_the_same_in_every_script(text, digits):
    assert digit_strings(text) == digits


def test_a_numbers_hash_says_how_long_it_is():
    assert number_hash("1999") & 0xF == 4
    assert number_hash("1999") != number_hash("1998")


def test_a_number_that_only_one_language_lost_is_noted(tmp_path):
    folder = small_data(tmp_path, ("en", "de", "es", "fr", "it"))
    for code in ("en", "de", "es", "fr", "it"):
        lost = "" if code == "de" else " 1987"
        change(folder, code, lambda rows: [rows[0] | {"review": rows[0]["review"] + lost}, *rows[1:]])  # noqa: B023
    assert found(folder, "de")["lost-number"].example_ids == ("item-0",)
    assert "lost-number" not in found(folder, "es")
