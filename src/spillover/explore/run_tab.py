"""Run: the flipped items of a finished run; a click loads one into the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from spillover.core.errors import SpilloverError
from spillover.core.languages import language
from spillover.explore.panel import AT_ONCE, Panel
from spillover.explore.run_items import FlippedItem, OpenedRun, open_run_items, question_of_item
from spillover.explore.view_html import error_html, flips_html, status_html

ALL, CORRECT, WRONG = "all", "newly correct", "newly wrong"
MOST_ROWS = 500
PICK = """element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-item]');
  if (button) trigger('pick', {item: Number(button.dataset.item)});
});"""


@dataclass(frozen=True)
class RunTab:
    """picked: the event after which an item is in the question. opening: (function, inputs, outputs) that opens the
    run. path: the box of its folder."""

    picked: Any
    opening: tuple[Any, list[Any], list[Any]]
    path: gr.Textbox


def run_tab(panel: Panel, run: str | None, *, fixed: bool, tabs: gr.Tabs, target: str) -> RunTab:
    """The tab, inside of an open `gr.Tab`. fixed: only `run` can be opened, whatever a visitor asks for. target: id of
    the tab that is shown after a click."""
    with gr.Row():
        path = gr.Textbox(
            run or "", label="Run folder", interactive=not fixed, elem_id="run-path", min_width=220, scale=3
        )  # fmt: skip
        start = gr.Button("Open", variant="primary", elem_id="run-start", min_width=100)
    with gr.Row():
        languages = gr.Dropdown([ALL], value=ALL, label="Language", elem_id="run-language", min_width=160)
        change = gr.Dropdown([ALL, CORRECT, WRONG], value=ALL, label="Change", elem_id="run-change", min_width=160)
    status = gr.HTML(elem_id="run-status", js_on_load=None)
    table = gr.HTML(elem_id="run-results", js_on_load=PICK)
    opened = gr.State(None)

    def open_path(asked: str) -> tuple[Any, ...]:
        folder = (run or "") if fixed else (asked or "").strip()
        if not folder:
            return error_html("no run folder", "give the folder of a finished run"), "", None, gr.skip()
        try:
            found = open_run_items(folder, panel.session)
        except SpilloverError as error:
            return error_html("; ".join(error.problems), error.hint), "", None, gr.skip()
        codes = dict.fromkeys(item.language for item in found.items)
        choices = [ALL, *((language(code).name, code) for code in codes)]
        return *_shown(found, ALL, ALL), found, gr.update(choices=choices, value=ALL)

    def show(found: OpenedRun | None, code: str, which: str) -> tuple[Any, ...]:
        return _shown(found, code, which) if found else (gr.skip(), gr.skip())

    def pick(found: OpenedRun | None, code: str, which: str, event: gr.EventData) -> list[Any]:
        skipped = [gr.skip()] * len(panel.outputs)
        number = int(event.item)
        if found is None or not 0 <= number < len(chosen := _chosen(found, code, which)):
            return [gr.skip(), gr.skip(), *skipped]
        try:
            question = question_of_item(found, chosen[number])
        except SpilloverError as error:
            return [error_html("; ".join(error.problems), error.hint), gr.skip(), *skipped]
        if question.task not in panel.tasks:
            hint = f"start with --task {question.task}"
            return [error_html(f"task {question.task!r} is not offered here", hint), gr.skip(), *skipped]
        return [gr.skip(), gr.Tabs(selected=target), *panel.updates(question)]

    outputs = [status, table, opened, languages]
    start.click(open_path, path, outputs, **AT_ONCE)
    path.submit(open_path, path, outputs, **AT_ONCE)
    for component in (languages, change):
        component.input(show, [opened, languages, change], [status, table], **AT_ONCE)
    picked = table.pick(pick, [opened, languages, change], [status, tabs, *panel.outputs], **AT_ONCE)
    return RunTab(picked, (open_path, [path], outputs), path)


def _chosen(found: OpenedRun, code: str, which: str) -> list[FlippedItem]:
    return [
        item
        for item in found.items
        if code in (ALL, item.language) and (which == ALL or item.newly_correct == (which == CORRECT))
    ][:MOST_ROWS]


def _shown(found: OpenedRun, code: str, which: str) -> tuple[str, str]:
    items = _chosen(found, code, which)
    if not items:
        return status_html("No item flipped."), ""
    note = f"{len(items)} of {len(found.items)} flipped items of {found.task}; click one to ask it."
    return status_html(note), flips_html(items, found.after)
