"""chrF against sacrebleu's own function, its null, and the bounds."""

from __future__ import annotations

import math
import sys

import pytest
import sacrebleu

from spillover.core.errors import MissingExtra
from spillover.stages.alternatives.translation_quality import _of_other_items, check_sacrebleu, chrf

TEXTS = ["The film was long and dull.", "A warm room, and a good breakfast.", "Nobody answered my letter."]
WORSE = ["The film was short and dull.", "Warm room with breakfast.", "Letter of nobody."]


def test_it_is_that_of_sacrebleu_and_at_most_100():
    assert chrf(WORSE, TEXTS) == pytest.approx(sacrebleu.corpus_chrf(WORSE, [TEXTS]).score)
    assert chrf(TEXTS, TEXTS) == pytest.approx(100)
    assert math.isnan(chrf([], []))


def test_other_items_have_the_same_texts_at_the_same_places_and_none_its_own():
    own = {str(i): (text, f"second {i}") for i, text in enumerate(TEXTS)}
    others = _of_other_items(own, seed=0)
    flat = [text for texts in own.values() for text in texts]
    assert sorted(others) == sorted(flat)
    assert all(other != text for other, text in zip(others, flat, strict=True))
    assert [text.startswith("second") for text in others] == [False, True] * 3
    assert chrf(others[::2], TEXTS) < 50


def test_without_sacrebleu_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtra, match="sacrebleu") as error:
        check_sacrebleu()
    assert "translate" in error.value.hint
