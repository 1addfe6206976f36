"""Layers: the logit lens of the question's prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import gradio as gr

from spillover.core.languages import language, reference_language
from spillover.explore.asked_question import Question
from spillover.explore.panel import Panel
from spillover.explore.results import LensView
from spillover.explore.session import PLACES
from spillover.explore.view_html import lens_html
from spillover.explore.view_tab import Step, ViewTab, view_tab

MOST_PLACES = 40


def layers_tab(panel: Panel) -> ViewTab:
    """The tab, inside of an open `gr.Tab`."""
    reference = language(reference_language()).name
    places = gr.Slider(1, MOST_PLACES, PLACES, step=1, label="Tokens, the prompt's last", elem_id="places")

    def compute(question: Question, options: Mapping[str, Any]) -> Iterator[Step]:
        views: tuple[LensView, ...] = ()
        for view in panel.session.lens(question, places=int(options["places"])):
            views = (*views, view)
            note = f"{len(views)} of {len(panel.session.sides)} models"
            yield Step(note, partial(lens_html, views, reference), views)

    return view_tab(panel, "layers", "Layers", "Look inside", compute, {"places": places})
