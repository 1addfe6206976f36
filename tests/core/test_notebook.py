"""HTML for notebooks: escaped, small, and of no colour but the page's own."""

from __future__ import annotations

import re

from markupsafe import Markup

from spillover.core.notebook import MOST_LETTERS, MOST_ROWS, block, bullets, folded, paragraph, table

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'text'\x1b[31m \u202e"


def test_every_text_is_escaped_and_made_visible():
    shown = block(
        HOSTILE, paragraph(HOSTILE), bullets([HOSTILE]), folded(HOSTILE, paragraph(HOSTILE)), table((HOSTILE, HOSTILE), [(HOSTILE, HOSTILE)])
    )  # fmt: skip
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 9
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_markup_of_others_is_not_trusted_in_a_cell():
    assert "<b>" not in table(("a",), [("<b>",)])
    assert Markup("<b>") not in paragraph("<b>")


def test_colours_are_those_of_the_page():
    shown = block("t", table(("a", "b"), [("x", ("y", 0.5))], shades=True), folded("s", bullets(["x"])))
    assert not re.search(r"#[0-9a-f]{3}|(?<![-\w])color:|class=|<style", shown)
    assert set(re.findall(r"rgba\(([^)]*)\)", shown)) == {"128, 128, 128, .35", "128, 128, 128, 0.30"}


def test_long_tables_and_texts_are_cut_and_a_table_says_so():
    shown = table(("a",), [("x" * 1000,)] * (MOST_ROWS + 5))
    assert shown.count("<tr>") == MOST_ROWS + 1
    assert "and 5 more rows" in shown
    assert "x" * MOST_LETTERS not in shown
    assert "more rows" not in table(("a",), [("x",)] * MOST_ROWS)


def test_nothing_is_drawn_of_an_empty_list():
    assert bullets([]) == ""
