"""Texts in Markdown, as a reader of CommonMark shows them."""

from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt

from spillover.stages.report.markdown import code, markdown

TEXTS = [
    "plain", "a_b_c", "_a_", "**b**", "# h", "- item", "+ item", "= x", "1. x", "1) x", "2024-01", "> q", "[a](b)", "![a](b)",
    "<b>x</b>", "<script>x</script>", "`c`", "``", "a|b", "~~x~~", "&amp;", "&lt;", "$x$", "\\", "\\*", "http://x.example",
    "<http://x.example>", "www.x.example", "---", "a  ", "[x]: http://y",
]  # fmt: skip


def rendered(text):
    """The text of a paragraph, and the tags that are in it."""
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    return html.unescape(re.sub("<[^>]*>", "", shown)).rstrip("\n"), re.findall("<(\\w+)", shown)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_shown_as_it_is(text):
    assert rendered(markdown(text)) == (text.rstrip(), ["p"])
    assert rendered(f"On {markdown(text)}")[1] == ["p"]
    assert rendered(f"- {markdown(text)}")[1] == ["ul", "li"]
    table = f"| a | b |\n|---|---|\n| {markdown(text)} | c |"
    assert rendered(table)[1].count("td") == 2


@pytest.mark.parametrize("text", [text for text in TEXTS if not text.endswith(" ")])
def test_code_is_shown_as_it_is(text):
    assert rendered(f"x {code(text)}") == (f"x {text}", ["p", "code"])


@pytest.mark.parametrize("write", [markdown, code])
def test_a_line_break_stays_in_its_line_and_controls_are_shown(write):
    assert "a\\n# b" in write("a\n# b").replace("\\\\", "\\")
    assert not set("\n\x1b\u202e") & set(write("\n\x1b\u202e"))
