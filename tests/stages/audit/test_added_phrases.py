from __future__ import annotations

import numpy as np
import pytest

from spillover.stages.audit.added_phrases import added_phrases

SYLLABLES = ["ka", "lo", "mi", "ru", "te", "so", "ni", "pa", "du", "ve"]


def texts(code, items=60, seed=0):
    """Texts of made-up words, as long in every language."""
    lengths = np.random.default_rng(seed).integers(6, 14, items)
    rng = np.random.default_rng([seed, *code.encode()])
    word = lambda: "".join(SYLLABLES[k] for k in rng.integers(0, 10, 3))  # noqa: E731
    return [" ".join(word() for _ in range(n)) for n in lengths]


@pytest.mark.parametrize("n_rows", [3, 6, 30, 60])
@pytest.mark.parametrize(
    "edit",
    [lambda text: f"{text} gern geschehen doch", lambda text: f"gern geschehen doch {text}", lambda text: f"{text[:20]}(gern geschehen doch){text[20:]}"],
)  # fmt: skip
def test_a_phrase_that_lengthens_its_texts_is_found(n_rows, edit):
    german = [edit(text) if i < n_rows else text for i, text in enumerate(texts("de"))]
    assert any("gern geschehen doch" in phrase for phrase in added_phrases(german, texts("en"), 0.02))


def test_a_phrase_that_stands_for_other_words_is_none():
    """In place of the words that it is as long as: the language's way to say them."""
    german = [f"{text[20:]} gern geschehen doch" if i < 6 else text for i, text in enumerate(texts("de"))]
    assert added_phrases(german, texts("en"), 0.02) == []


def test_a_template_that_the_reference_shares_is_none():
    german = [f"gern geschehen doch {text}" for text in texts("de")]
    english = [f"you are very welcome {text}" for text in texts("en")]
    assert added_phrases(german, english, 0.02) == []
    assert added_phrases(german, texts("en"), 0.02) == ["gern geschehen doch"]


def test_undamaged_texts_have_none():
    for seed in range(20):
        assert added_phrases(texts("de", seed=seed), texts("en", seed=seed), 0.02) == []


def test_no_texts_have_none():
    assert added_phrases([], [], 0.02) == []
    assert added_phrases([""], [""], 0.02) == []
