from __future__ import annotations

from spillover.stages.translate.translated_questions import LanguageCounts, TranslationPlan


def test_what_is_left_is_counted_over_all_languages():
    plan = TranslationPlan("m", 10, 20, 400, {"de": 5, "sw": 0}, {"de": "12345", "sw": "123"})
    assert (plan.share_left, plan.texts_left, plan.characters_left) == (0.75, 30, 600)
    assert plan.prompt_characters_left == 10 * 5 + 20 * 3


def test_reasons_are_counted_by_the_name_of_the_check():
    left_out = {"a": "review: numbers: lacks 12", "b": "review: numbers: lacks 7,000", "c": "text: empty: nothing"}
    assert LanguageCounts(5, 3, left_out, 2).reasons == {"numbers": 2, "empty": 1}
