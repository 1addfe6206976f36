from __future__ import annotations

import numpy as np

from spillover.explore.asked_question import Question
from spillover.explore.results import (
    Answer,
    FlippedItem,
    FlipsView,
    LanguageAnswer,
    LanguagesView,
    LensView,
    Token,
    View,
    WordCurve,
)


def made_answer(model="base", words=("good", "bad"), reason=""):
    calibrated = np.array([0.6, 0.4]) if not reason else np.full(2, np.nan)
    return Answer(
        model, "sw", ("positive", "negative"), words, np.array([-1.0, -2.0]), np.array([0.73, 0.27]), calibrated, reason, 9,
        (1, 2),
    )  # fmt: skip


def made_lens(word="good", token="a", curves=True):
    cells = tuple(((Token(token, 0.5), Token("b", 0.25)), (Token("c", 0.125), Token("d", 0.1))) for _ in range(3))
    made = (WordCurve("native", word, np.array([0.1, 0.2, np.nan]), np.array([0.1, 0.3, 0.2])),) if curves else ()
    entropy = np.array([3.0, 2.0, 1.0])
    return LensView("base", "sw", (token, "y"), cells, "positive", made, entropy, 1, "" if curves else "no words")


def made_row(code, similarity, other=(0.0, 0.0, 0.0), text="text"):
    return LanguageAnswer("base", code, text, made_answer(), np.array(similarity), np.array(other), "")


def made_languages(text="text"):
    refused = LanguageAnswer("base", "yo", text, None, np.full(3, np.nan), np.full(3, np.nan), "no wording")
    return LanguagesView(
        (made_row("en", (1, 1, 1)), made_row("sw", (0.5, 0.9, 0.6), (0.4, 0.2, 0.3), text), refused), "en"
    )  # fmt: skip


def made_flips(text="text"):
    items = (FlippedItem("sw", text, True, text, text, text, text), FlippedItem("hi", "2", False, "a", "a", "b", "no"))
    return FlipsView("sentiment", text, items)


def made_view(tab, results, text="good"):
    options = {"ask": {}, "layers": {"places": 2}, "languages": {"translations": ""}, "run": {"run": "runs/mine"}}[tab]
    return View(tab, None if tab == "run" else Question("sentiment", "sw", (text,)), results, options)


def test_an_answer_has_a_row_per_label():
    rows = made_answer().rows()
    assert [(row["label"], row["word"], row["logprob"], row["tokens"]) for row in rows] == [
        ("positive", "good", -1.0, 1),
        ("negative", "bad", -2.0, 2),
    ]
    assert made_answer().best == 0


def test_a_lens_has_a_row_per_layer():
    rows = made_lens().rows()
    assert [(row["layer"], row["token_1"], row["probability_2"], row["native_whole"]) for row in rows] == [
        (0, "a", 0.125, 0.1),
        (1, "a", 0.125, 0.3),
        (2, "a", 0.125, 0.2),
    ]
    assert "entropy" not in made_lens(curves=False).rows()[0]


def test_languages_split_after_the_layer_of_the_largest_margin():
    view = made_languages()
    assert view.split("base") == 1
    assert view.models == ("base",)
    rows = {row["language"]: row for row in view.rows()}
    assert rows["sw"]["similarity_1"] == 0.9
    assert rows["yo"]["reason"] == "no wording"
    assert "answer" not in rows["yo"]


def test_flips_have_a_row_per_item():
    rows = made_flips().rows()
    assert [(row["language"], row["change"], row["after"]) for row in rows] == [
        ("sw", "newly correct", "text"),
        ("hi", "newly wrong", "b"),
    ]


def test_a_view_has_the_rows_of_all_models():
    assert len(made_view("ask", (made_answer(), made_answer("tuned"))).rows()) == 4
