from __future__ import annotations

import pytest

from spillover.core.config import AuditThresholds, TranslateConfig
from spillover.core.languages import known_languages, language
from spillover.stages.translate.row_checks import THRESHOLDS, RowChecks
from tests.stages.translate.builders import TRAIN, demo_rows

TEXT = "The old kettle boils 1,200 litres in 12 minutes and makes no noise."
GERMAN = "Der alte Kessel kocht 1.200 Liter in 12 Minuten und macht keinen Lärm."


def checks(code="de", **options) -> RowChecks:
    return RowChecks(language("en"), language(code), TranslateConfig(), AuditThresholds(), **options)


@pytest.mark.parametrize("code", [code for code in known_languages() if (TRAIN / f"{code}.jsonl").exists()])
def test_the_translations_of_the_demo_are_good(code):
    texts, translations = ([row["review"] for row in demo_rows(of, 68)] for of in ("en", code))
    if code != "en":
        assert [problem for problem in checks(code).problems(texts, translations, {}) if problem] == []


@pytest.mark.parametrize(
    ("translation", "problem"),
    [
        (GERMAN, ""),
        ("", "empty: nothing came back"),
        ("...", "empty: nothing came back"),
        (TEXT, "untranslated: the English text"),
        (TEXT.upper().replace(".", "!"), "untranslated: the English text"),
        ("Ja. " + TEXT, "untranslated: a sentence of the English text"),
        ("Старый чайник кипятит 1200 литров за 12 минут без шума.", "language: mostly in another script (cyrillic)"),
        (GERMAN.replace("1.200", "viele"), "numbers: lacks 1,200"),
        (GERMAN.replace("12 ", "zwölf "), "numbers: lacks 12"),
        ("Der Kessel 1.200 12.", "length: 0.30 of the text's"),
        ("Der alte Kessel kocht 1.200 Liter in 12", "truncated: 0.58 of the text's length, and no final punctuation"),
        (GERMAN + " Und noch viel mehr wurde dazu geschrieben" * 5, "length: 4.2 times the text's"),
        ("Der Kessel 1.200 12 kocht und kocht und kocht und kocht und kocht.", "repeated: "),
    ],
)
def test_each_fault_has_its_name(translation, problem):
    assert checks().problem(TEXT, translation).startswith(problem)
    assert bool(checks().problem(TEXT, translation)) == bool(problem)


def test_numbers_count_in_any_script_and_with_any_separators():
    hindi = checks("hi")
    assert hindi.problem("It took 1,200 days and then some more days.", "इसमें १२०० दिन और फिर कुछ और दिन लगे।") == ""


def test_chinese_characters_count_as_three():
    assert checks("zh").problem(TEXT, "旧水壶在12分钟内煮沸1200升水，没有一点声音。") == ""


def test_a_language_without_full_stops_is_not_cut():
    assert checks("th").problem("The train departed on time.", "รถไฟออกตรงเวลา") == ""
    assert checks().problem("The train departed on time.", "Der Zug fuhr ab").startswith("truncated")


def test_names_may_stay_as_they_are():
    assert checks().problem("New York Times Magazine", "New York Times Magazine") == ""


def test_a_text_that_repeats_itself_may_be_translated_so():
    text = "Never again, never again, never again, never again, never again!"
    assert checks().problem(text, "Nie wieder, nie wieder, nie wieder, nie wieder, nie wieder!") == ""


def test_one_translation_of_different_texts_is_none():
    texts = ["A kettle that is loud.", "Shoes that fit me well.", "I like my green umbrella."]
    same = "Das ist ein Satz für alle."
    problems = checks().problems(texts, [same, same, "Ich mag meinen grünen Schirm."], {})
    assert [problem.partition(":")[0] for problem in problems] == ["repeated", "repeated", ""]
    later = checks()
    later.add(texts[0], same)
    assert later.problems(texts[1:2], [same], {}) == ["repeated: also the translation of 'A kettle that is loud.'"]
    assert later.problems(["A kettle, that is loud!"], [same], {}) == [""], "nearly the same text may have the same one"


def test_what_the_translator_says_comes_first():
    assert checks().problems([TEXT], [""], {0: "translator: 1400 tokens"}) == ["translator: 1400 tokens"]


def test_an_identifier_tells_other_languages():
    seen = []

    def identify(text):
        seen.append(text)
        return "nl"

    dutch = "De oude ketel kookt 1.200 liter in 12 minuten en maakt daarbij helemaal geen lawaai."
    assert checks(identify=identify).problem(TEXT, dutch) == "language: reads as another one (nl)"
    assert seen


def test_the_thresholds_that_are_recorded_are_those_that_are_read():
    class Read(AuditThresholds):
        def __getattribute__(self, name):
            if name in AuditThresholds.model_fields:
                read.add(name)
            return super().__getattribute__(name)

    read: set[str] = set()
    own = RowChecks(language("en"), language("de"), TranslateConfig(), Read(), lambda text: None)
    own.problems([TEXT], [GERMAN], {})
    assert read | {"language_confidence"} == THRESHOLDS  # the confidence is the identifier's
