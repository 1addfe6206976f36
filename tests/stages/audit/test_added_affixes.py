from __future__ import annotations

import pytest

from spillover.stages.audit.added_affixes import added_affixes

GERMAN = ["Der Zug ist spät", "Ein Hund bellt", "Wir essen", "Es schneit im Mai", "Der Laden hat zu", "Sie liest"]
ENGLISH = ["The train is late", "A dog barks", "We are eating", "It snows in May", "The shop is closed", "She reads"]


def added(edit, *, also=lambda text: text, rows=4):
    """Affixes of German texts of which some are edited, and the English beside them too."""
    texts = [edit(text) if i < rows else text for i, text in enumerate(GERMAN)]
    return added_affixes(texts, [also(text) if i < rows else text for i, text in enumerate(ENGLISH)], 0.02)


@pytest.mark.parametrize(
    ("edit", "affix"),
    [
        (lambda text: f"Übersetzung: {text}", "Übersetzung:"),
        (lambda text: f"[Anm.: {len(text)}] {text}", "[Anm.:"),
        (lambda text: f"{text} (maschinell)", "(maschinell)"),
        (lambda text: f"翻译：{text}", "翻译："),
        (lambda text: f"{text[:4]}（意译）{text[4:]}", "（意译）"),
        (lambda text: f"{text}. Ich hoffe, das hilft!", "Ich hoffe, das hilft!"),
        (lambda text: f"Gern geschehen doch! {text}", "Gern geschehen doch!"),
    ],
)
def test_what_begins_or_ends_texts_of_one_language_is_found(edit, affix):
    assert added(edit) == [affix]
    assert added(edit, rows=2) == [], "two rows may be chance"


def test_a_template_that_the_reference_has_too_is_none():
    assert added(lambda text: f"Frage: {text}", also=lambda text: f"Question: {text}") == []
    assert added(lambda text: f"{text}. Ist das so?", also=lambda text: f"{text}. Is that so?") == []


def test_equal_texts_count_once():
    assert added_affixes(["Hinweis: gut"] * 9, ["good"] * 9, 0.02) == []


def test_undamaged_texts_have_none():
    assert added(lambda text: text) == []
