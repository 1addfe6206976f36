"""Ask: how probable each model finds each label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from spillover.explore.asked_question import Question
from spillover.explore.panel import Panel
from spillover.explore.results import Answer
from spillover.explore.view_html import answers_html
from spillover.explore.view_tab import Step, ViewTab, view_tab


def ask_tab(panel: Panel) -> ViewTab:
    """The tab, inside of an open `gr.Tab`."""

    def compute(question: Question, options: Mapping[str, Any]) -> Iterator[Step]:
        answers: tuple[Answer, ...] = ()
        for answer in panel.session.answers(question):
            answers = (*answers, answer)
            yield Step(f"{len(answers)} of {len(panel.session.sides)} models", partial(answers_html, answers), answers)

    return view_tab(panel, "ask", "Ask", "Ask", compute, {})
