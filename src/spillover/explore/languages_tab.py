"""Languages: the question's item in all languages of the data, or in one's own translations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import gradio as gr

from spillover.explore.asked_question import Question
from spillover.explore.panel import Panel
from spillover.explore.session import pasted_translations
from spillover.explore.view_html import languages_html
from spillover.explore.view_tab import Step, ViewTab, view_tab


def languages_tab(panel: Panel) -> ViewTab:
    """The tab, inside of an open `gr.Tab`."""
    session = panel.session
    translations = gr.Textbox(
        label="Your translations",
        info="a line each, as code: text; several texts with | between them. Empty: the example's.",
        lines=2,
        max_lines=20,
        elem_id="translations",
        elem_classes="sp-input",
    )

    def compute(question: Question, options: Mapping[str, Any]) -> Iterator[Step]:
        session.check_parallel(question.task)
        pasted = (options["translations"] or "").strip()
        texts = pasted_translations(question, pasted) if pasted else session.in_languages(question)
        total = len(texts) * len(session.sides)
        for view in session.languages(question, texts):
            done = len(view.rows_by_language)
            yield Step(f"{done} of {total} languages", partial(languages_html, view), (view,))

    return view_tab(panel, "languages", "Languages", "Compare languages", compute, {"translations": translations})
