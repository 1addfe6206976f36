"""What the tabs Ask, Layers and Languages share: compute, cancel, the results, the command, downloads, the address."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from spillover.core.errors import SpilloverError
from spillover.explore.asked_question import Question, to_query
from spillover.explore.exports import csv_text, json_text, png_bytes, python_of
from spillover.explore.panel import AT_ONCE, Panel
from spillover.explore.results import View
from spillover.explore.view_html import error_html, status_html

QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""Whoever asks the model: one at a time."""


class Step(NamedTuple):
    """What is there so far. note: for the status line."""

    note: str
    html: str
    results: tuple[Any, ...]


Compute = Callable[[Question, Mapping[str, Any]], Iterator[Step]]


@dataclass(frozen=True)
class ViewTab:
    """One tab. handler: a generator over inputs, for the events that start it; outputs: what it fills."""

    name: str
    handler: Callable[..., Iterator[Any]]
    inputs: list[Any]
    outputs: list[Any]
    query: gr.Textbox
    options: Mapping[str, Any]


def view_tab(panel: Panel, name: str, title: str, action: str, compute: Compute, options: Mapping[str, Any]) -> ViewTab:
    """The components of a tab, below what it has made itself. options: its own components by name, which go into the
    command and the address. compute: yields what is there so far; its last step is the result."""
    with gr.Row():
        start = gr.Button(action, variant="primary", elem_id=f"{name}-start", min_width=160)
        cancel = gr.Button("Cancel", elem_id=f"{name}-cancel", min_width=100)
    status = gr.HTML(elem_id=f"{name}-status", js_on_load=None)
    results = gr.HTML(elem_id=f"{name}-results", js_on_load=None)
    kept = gr.State(None)
    query = gr.Textbox(visible="hidden", elem_id=f"{name}-query")
    with gr.Accordion("Copy the command, download", open=False, elem_id=f"{name}-exports"):
        command = gr.Textbox(
            label="Python that gives the same numbers", lines=6, max_lines=12, interactive=False, buttons=["copy"],
            elem_id=f"{name}-command",
        )  # fmt: skip
        _downloads(name, kept)

    def handler(*values: Any) -> Iterator[Any]:
        # An event of the page, not of a person, may start a tab that was not asked for: see `gradio_page`.
        chosen = dict(zip(options, values, strict=False))
        started = time.monotonic()
        yield status_html("Computing…"), gr.skip(), gr.skip(), None, gr.skip()
        step = Step("", "", ())
        try:
            question = panel.question(values[len(options) :])
            for step in compute(question, chosen):
                yield status_html(step.note), step.html, gr.skip(), None, gr.skip()
        except SpilloverError as error:
            yield error_html("; ".join(error.problems), error.hint), "", "", None, gr.skip()
            return
        view = View(name, question, step.results, chosen)
        address = to_query(question, {"tab": name} | {key: str(value) for key, value in chosen.items() if value})
        done = status_html(f"Done in {time.monotonic() - started:.1f} s.")
        yield done, step.html, python_of(view, panel.session), view, address

    inputs, outputs = [*options.values(), *panel.components], [status, results, command, kept, query]
    tab = ViewTab(name, handler, inputs, outputs, query, options)
    asked = start.click(
        handler, inputs, outputs, show_progress="hidden", api_name=name, api_visibility="undocumented", **QUEUE
    )
    keep_address(asked, query)
    cancel.click(lambda: status_html("Cancelled."), None, status, cancels=[asked], **AT_ONCE)
    return tab


def keep_address(event: Any, query: gr.Textbox) -> None:
    """After the event the browser's address is that of the view."""
    event.then(None, query, None, js="(query) => spillover.keepAddress(query)")


def _downloads(name: str, kept: gr.State) -> None:
    """Buttons that hand a file to the browser: nothing is written on the server."""
    files: dict[str, tuple[str, Callable[[View], bytes]]] = {
        "csv": ("text/csv", lambda view: csv_text(view).encode()),
        "json": ("application/json", lambda view: json_text(view).encode()),
        "png": ("image/png", png_bytes),
    }
    note = gr.HTML(elem_id=f"{name}-download-status", js_on_load=None)
    with gr.Row():
        for kind, (mime, content) in files.items():
            button = gr.Button(f"Download {kind.upper()}", elem_id=f"{name}-{kind}", min_width=120, size="sm")
            payload = gr.Textbox(visible="hidden", elem_id=f"{name}-{kind}-payload")

            def download(
                view: View | None, kind: str = kind, mime: str = mime, content: Callable[[View], bytes] = content
            ) -> tuple[str, str]:
                if view is None:
                    return "", error_html("there is nothing to download", "compute it first")
                data = base64.b64encode(content(view)).decode()
                return json.dumps({"name": f"spillover-{name}.{kind}", "mime": mime, "data": data}), ""

            clicked = button.click(
                download, kept, [payload, note], **AT_ONCE
            )  # fmt: skip
            clicked.then(None, payload, None, js="(payload) => spillover.download(payload)")
