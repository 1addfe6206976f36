from __future__ import annotations

import pytest

from spillover.stages.audit.language_checks import (
    identifiers,
    mixed_language,
    script_counts,
    wrong_language,
    wrong_script,
)
from tests.builders import small_data
from tests.stages.audit.builders import change, findings_by_check, language_rows

ENGLISH = "the station opens at seven in the morning and closes late in the evening"
GERMAN = "der bahnhof macht um sieben uhr morgens auf und schliesst erst spät am abend"


def test_another_script_is_found_and_names_are_not():
    thai = "ร้านนี้อร่อยมาก"
    (finding,) = wrong_script(
        language_rows("th", [thai, ENGLISH, f"{thai} Blue Bottle Coffee Company of California", "OK"])
    )
    assert finding.example_ids == ["1"]
    assert script_counts("aあ中б1") == {"LATIN": 1, "HIRAGANA": 1, "CJK": 1, "CYRILLIC": 1}


def test_another_language_in_the_same_script_is_found():
    identify = identifiers(["en", "de", "th"], 0.9)
    assert set(identify) == {"en", "de"}, "Thai is known by its script"
    (finding,) = wrong_language(language_rows("de", [GERMAN, ENGLISH, "kurz"], identify=identify["de"]))
    assert finding.example_ids == ["1"]
    assert finding.evidence["rows"] == {"1": "review: en"}


def test_norwegian_is_one_language_to_the_identifier():
    assert "no" in identifiers(["en", "no"], 0.9)


def test_a_sentence_left_untranslated_is_found():
    english = ["It broke after one week. The colour is nice enough."]
    (finding,) = mixed_language(
        language_rows("de", ["Es ging nach einer Woche kaputt. The colour is nice enough."], english)
    )
    assert finding.example_ids == ["0"]
    assert not list(mixed_language(language_rows("de", ["Es ging kaputt. Nett."], english)))


@pytest.mark.parametrize(
    ("text", "check"), [("Kodak Easyshare C813", None), ("the very same words here", "untranslated")]
)
def test_what_most_languages_leave_alone_is_no_fault(tmp_path, text, check):
    folder = small_data(tmp_path, ("en", "de", "es", "fr", "it"))
    for code in ("en", "de") if check else ("en", "de", "es", "fr"):
        change(folder, code, lambda rows: [rows[0] | {"review": text}, *rows[1:]])
    assert ("untranslated" in findings_by_check(folder, "de")) == bool(check)
