"""What the tabs share: compute, cancel, the results, the command, downloads, the address."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from spillover.core.errors import SpilloverError
from spillover.explore.asked_question import Question, to_query
from spillover.explore.computation import Computation
from spillover.explore.exports import csv_text, json_text, png_bytes, python_of
from spillover.explore.panel import AT_ONCE, Panel
from spillover.explore.results import View
from spillover.explore.view_html import error_html, status_html

INTERVAL = 0.2
"""Seconds between two looks at what is there."""


class Step(NamedTuple):
    """What is there so far. note: for the status line. draw: gives the HTML, when somebody looks."""

    note: str
    draw: Callable[[], str]
    results: tuple[Any, ...]


Compute = Callable[[Question, Mapping[str, Any]], Iterator[Step]]


class Shown(NamedTuple):
    """The outputs of a tab, in their order: values, or `gr.skip()` for what stays as it is."""

    status: Any = gr.skip()
    results: Any = gr.skip()
    command: Any = gr.skip()
    view: Any = gr.skip()
    query: Any = gr.skip()
    timer: Any = gr.skip()


@dataclass(frozen=True)
class ViewTab:
    """One tab. begin: starts it, for the events that do; of inputs, and fills outputs. options: its own components, by
    the names that they have in the address."""

    name: str
    begin: Callable[..., tuple[Any, ...]]
    inputs: list[Any]
    outputs: list[Any]
    options: Mapping[str, Any]


def view_tab(panel: Panel, name: str, title: str, action: str, compute: Compute, options: Mapping[str, Any]) -> ViewTab:
    """The components of a tab, below what it has made itself. options: its own components by name, which go into the
    command and the address. compute: yields what is there so far; its last step is the result."""
    with gr.Row():
        start = gr.Button(action, variant="primary", elem_id=f"{name}-start", min_width=160)
        cancel = gr.Button("Cancel", elem_id=f"{name}-cancel", min_width=100)
    status = gr.HTML(elem_id=f"{name}-status", js_on_load=None)
    results = gr.HTML(elem_id=f"{name}-results", js_on_load=None)
    running, kept = gr.State(None), gr.State(None)
    query = gr.Textbox(visible="hidden", elem_id=f"{name}-query")
    timer = gr.Timer(INTERVAL, active=False)
    command = exports(name, kept)

    def begin(before: Computation | None, *values: Any) -> tuple[Any, ...]:
        if before is not None:
            before.replace()
        computation = panel.worker.start(_steps(panel, name, compute, options, values))
        started = Shown(status=status_html("Computing…"), view=None, query="", timer=gr.Timer(active=True))
        return computation, *started

    def look(computation: Computation | None) -> Shown:
        if computation is None or computation.replaced:
            return Shown()
        if computation.cancelled:
            return Shown(status=status_html("Cancelled."), timer=gr.Timer(active=False))
        draw = computation.new_result()
        if draw is not None:
            drawn: Shown = draw()
            return drawn
        return Shown() if computation.pending else Shown(timer=gr.Timer(active=False))

    def resume(computation: Computation | None) -> Any:
        # A look at the computation before may end the timer after the next one has begun.
        return gr.Timer(active=True) if computation is not None and computation.pending else gr.skip()

    def stop(computation: Computation | None) -> Any:
        if computation is None or computation.done:
            return gr.skip()
        # The timer keeps running: a look that is on its way would put what it saw in place of this line.
        computation.cancel()
        return status_html("Cancelled.")

    inputs = [running, *options.values(), *panel.components]
    shown = [status, results, command, kept, query, timer]
    start.click(begin, inputs, [running, *shown], **AT_ONCE)
    looked = timer.tick(look, running, shown, **AT_ONCE)
    keep_address(looked, query)
    looked.then(resume, running, timer, **AT_ONCE)
    cancel.click(stop, running, status, **AT_ONCE)
    return ViewTab(name, begin, inputs, [running, *shown], options)


def _steps(
    panel: Panel, name: str, compute: Compute, options: Mapping[str, Any], values: Sequence[Any]
) -> Iterator[Callable[[], Shown]]:
    """What a tab shows, as functions that draw it. values: of the options, then of the question's components."""
    chosen = dict(zip(options, values, strict=False))
    started = time.monotonic()
    step = Step("", str, ())
    off = gr.Timer(active=False)
    try:
        question = panel.question(values[len(options) :])
        for step in compute(question, chosen):
            yield partial(lambda step: Shown(status_html(step.note), step.draw()), step)
    except SpilloverError as error:
        message = error_html("; ".join(error.problems), error.hint)
        yield lambda: Shown(message, "", "", None, "", off)
        return
    done = f"Done in {time.monotonic() - started:.1f} s."
    view = View(name, question, step.results, chosen)
    address = to_query(question, {"tab": name} | {key: str(value) for key, value in chosen.items() if value})
    yield lambda: Shown(status_html(done), step.draw(), python_of(view, panel.session), view, address, off)


def keep_address(event: Any, query: gr.Textbox) -> None:
    """After the event the browser's address is that of the view."""
    event.then(None, query, None, js="(query) => spillover.keepAddress(query)")


def exports(name: str, kept: gr.State) -> gr.Textbox:
    """The box of a view's command; below it the buttons that download it. kept: the view, None before there is one."""
    with gr.Accordion("Copy the command, download", open=False, elem_id=f"{name}-exports"):
        command = gr.Textbox(
            label="Python that gives the same numbers", lines=6, max_lines=12, interactive=False, buttons=["copy"],
            elem_id=f"{name}-command",
        )  # fmt: skip
        _downloads(name, kept)
    return command


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
