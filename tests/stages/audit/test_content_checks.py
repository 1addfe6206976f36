from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.stages.audit.content_checks import encoding_damage, markup, unescape, unscramble
from spillover.stages.audit.profile import digit_strings, ends_well, letters_long, number_hash
from tests.builders import small_data
from tests.stages.audit.test_language_checks import sheet
from tests.stages.audit.test_stage import change, found

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


LANGUAGES = ("en", "de", "es", "fr", "it")


def lengthy(folder, edits=()):
    """Twelve texts of 5 to 16 words in five languages, each with a mark at its end but where `edits` says so."""
    for code in LANGUAGES:
        words = [[f"{code}word{i}x{j}" for j in range(5 + i)] for i in range(12)]
        texts = [edits(code, i, " ".join(own) + ".") if edits else " ".join(own) + "." for i, own in enumerate(words)]
        change(folder, code, lambda rows: [row | {"review": text} for row, text in zip(rows, texts, strict=True)])  # noqa: B023
    return {code: found(folder, code) for code in LANGUAGES}


@pytest.mark.parametrize(
    ("share", "mark", "named"), [(0.7, "", True), (0.7, ".", False), (0.95, "", False), (0.4, ".", True)]
)
def test_a_cut_is_seen_earlier_where_the_last_mark_is_gone(share, mark, named, tmp_path):
    folder = small_data(tmp_path, LANGUAGES, items=12)
    cut = lambda code, i, text: text[: int(share * len(text))] + mark if (code, i) == ("de", 9) else text  # noqa: E731
    checks = lengthy(folder, cut)
    assert ("truncated" in checks["de"]) == named
    assert not any("truncated" in checks[code] for code in LANGUAGES if code != "de")
    if named:
        assert checks["de"]["truncated"].example_ids == ("item-9",)
        assert checks["de"]["truncated"].evidence["no mark at the end"] == ([] if mark else ["item-9"])


def test_a_language_that_ends_without_marks_is_judged_by_its_lengths_alone(tmp_path):
    folder = small_data(tmp_path, LANGUAGES, items=12)
    bare = lambda code, i, text: text[: int(0.7 * len(text)) if i == 9 else -1] if code == "de" else text  # noqa: E731
    assert "truncated" not in lengthy(folder, bare)["de"]


def test_a_chinese_text_is_as_long_with_a_name_in_latin_letters():
    assert letters_long("the leaves") == 10
    assert letters_long("ประเทศ") == len("ประเทศ")
    plain, named = "他在柏林见到了安德森先生", "他在柏林见到了Anderson先生"
    assert abs(letters_long(named) / letters_long(plain) - 1) < 0.1


@pytest.mark.parametrize(
    ("text", "well"), [("So.", True), ("今。", True), ("यह।", True), ("এই৷", True), ("ดี", False), ("(so)", True), ("so,", False), ("so", False), ("", False)]
)  # fmt: skip
def test_what_may_end_a_text(text, well):
    assert ends_well(text) == well
