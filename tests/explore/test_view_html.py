"""Hostile text is shown as text: no tag, no attribute, no template of Gradio's is made of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from spillover.explore.results import LanguagesView
from spillover.explore.view_html import (
    answers_html,
    error_html,
    flips_html,
    languages_html,
    lens_html,
    status_html,
    token_html,
)
from tests.explore.test_results import made_answer, made_flips, made_languages, made_lens, made_row

HOSTILE = '<img src=x onerror="hacked=1">\'</table><script>{{hacked}}${hacked=2}`\u202e\u0000**bold**'


class Reader(HTMLParser):
    """The tags, attributes and text of some HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], set(), ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "make",
    [
        lambda text: answers_html([made_answer(text, (text, text), reason=text)]),
        lambda text: lens_html([made_lens(text, text)], text),
        lambda text: languages_html(made_languages(text)),
        lambda text: flips_html(made_flips(text)),
        lambda text: error_html(text, text),
        status_html,
        token_html,
    ],
)
def test_hostile_text_makes_no_markup(make):
    plain, hostile = Reader(make("plain")), Reader(make(HOSTILE))
    assert (hostile.tags, hostile.attributes) == (plain.tags, plain.attributes)
    assert "<img" in hostile.text
    assert not set("{}$`\u202e\u0000") & set(make(HOSTILE))


def test_each_text_runs_in_its_own_direction():
    assert '<bdi dir="auto">مرحبا</bdi>' in answers_html([made_answer(words=("مرحبا", "bad"))])


def test_whitespace_of_a_token_is_visible():
    assert Reader(token_html(" a\n")).text == "·a↵"


def test_the_answers_name_what_each_model_leans_to():
    html = Reader(answers_html([made_answer(), made_answer("tuned", reason="no labels")]))
    assert "base leans to positive (good), 73.0 %" in html.text
    assert "-1.0000" in html.text
    assert "–" in html.text
    assert answers_html([]) == ""


def test_a_cell_has_its_ten_tokens_and_a_name_for_screen_readers():
    html = lens_html([made_lens()], "English")
    assert 'data-tokens="50.00 %\ta\n25.00 %\tb"' in html
    assert 'aria-label="base, layer 2, position 1: a, 50.0 %"' in html
    assert "own word: good peaks at layer 1 with 30.0 %" in Reader(html).text
    assert "no words" in lens_html([made_lens(curves=False)], "English")


def test_the_best_layer_is_marked_and_a_language_without_answer_has_its_reason():
    html = Reader(languages_html(made_languages()))
    assert "1 ▾" in html.text
    assert "no wording" in html.text
    undefined = LanguagesView((made_row("sw", (np.nan,) * 3),), "en")
    assert "Similarity is undefined" in languages_html(undefined)


def test_every_table_has_a_caption_and_headings():
    for html in (
        answers_html([made_answer()]), lens_html([made_lens()], "English"), languages_html(made_languages()),
        flips_html(made_flips()),
    ):  # fmt: skip
        assert html.count("<table") == html.count("<caption") == html.count("<thead")
        assert re.search(r'<th scope="row">', html)


def test_a_line_with_the_same_words_is_another_line():
    assert status_html("No item flipped.") != status_html("No item flipped.")
    assert error_html("empty", "type") != error_html("empty", "type")
