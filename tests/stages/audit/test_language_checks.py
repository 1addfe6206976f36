from __future__ import annotations

import pytest

from spillover.core.config import AuditConfig
from spillover.core.types import Example
from spillover.stages.audit.language_checks import (
    identifiers,
    mixed_language,
    script_counts,
    wrong_language,
    wrong_script,
)
from spillover.stages.audit.profile import Sheet
from spillover.tasks.wording import load_task
from tests.builders import small_data
from tests.stages.audit.test_stage import change, found

ENGLISH = "the station opens at seven in the morning and closes late in the evening"
GERMAN = "der bahnhof macht um sieben uhr morgens auf und schliesst erst spät am abend"


def sheet(language, texts, english=()):
    rows = [Example(str(i), language, {"review": text}, "positive") for i, text in enumerate(texts)]
    reference = {str(i): Example(str(i), "en", {"review": text}, "positive") for i, text in enumerate(english)}
    return Sheet(load_task("sentiment"), language, rows, reference, AuditConfig())


def test_another_script_is_found_and_names_are_not():
    thai = "ร้านนี้อร่อยมาก"
    (finding,) = wrong_script(sheet("th", [thai, ENGLISH, f"{thai} Blue Bottle Coffee Company of California", "OK"]))
    assert finding.example_ids == ("1",)
    assert script_counts("aあ中б1") == {"LATIN": 1, "HIRAGANA": 1, "CJK": 1, "CYRILLIC": 1}


def test_another_language_in_the_same_script_is_found():
    identify = identifiers(["en", "de", "th"], 0.9)
    assert set(identify) == {"en", "de"}, "Thai is known by its script"
    (finding,) = wrong_language(sheet("de", [GERMAN, ENGLISH, "kurz"]), identify["de"])
    assert finding.example_ids == ("1",)
    assert finding.evidence["rows"] == {"1": "review: en"}


def test_norwegian_is_one_language_to_the_identifier():
    assert "no" in identifiers(["en", "no"], 0.9)


def test_a_sentence_left_untranslated_is_found():
    english = ["It broke after one week. The colour is nice enough."]
    (finding,) = mixed_language(sheet("de", ["Es ging nach einer Woche kaputt. The colour is nice enough."], english))
    assert finding.check == "mixed-language"
    assert not list(mixed_language(sheet("de", ["Es ging kaputt. Nett."], english)))


@pytest.mark.parametrize(
    ("text", "check"), [("Kodak Easyshare C813", None), ("the very same words here", "untranslated")]
)
def test_what_most_languages_leave_alone_is_no_fault(tmp_path, text, check):
    folder = small_data(tmp_path, ("en", "de", "es", "fr", "it"))
    for code in ("en", "de") if check else ("en", "de", "es", "fr"):
        change(folder, code, lambda rows: [rows[0] | {"review": text}, *rows[1:]])
    assert ("untranslated" in found(folder, "de")) == bool(check)
