"""Run: the flipped items of a finished run; a click loads one into the question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from spillover.core.errors import ConfigError, SpilloverError
from spillover.core.languages import language
from spillover.explore.asked_question import to_query
from spillover.explore.exports import python_of
from spillover.explore.panel import AT_ONCE, Panel
from spillover.explore.results import CHANGES, FlipsView, View
from spillover.explore.run_items import OpenedRun, open_run_items, question_of_item
from spillover.explore.view_html import MOST_ROWS, error_html, flips_html, status_html
from spillover.explore.view_tab import exports, keep_address

RUN_TAB = "run"
ALL = "all"
PICK = """element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-item]');
  if (button) trigger('pick', {item: Number(button.dataset.item)});
});"""


@dataclass(frozen=True)
class RunTab:
    """picked: the event after which an item is in the question. opening: (function, inputs, outputs) that opens the
    run. options: the boxes of its folder and of what is chosen of it, as the address names them. query: the address."""

    picked: Any
    opening: tuple[Any, list[Any], list[Any]]
    options: Mapping[str, Any]
    query: gr.Textbox


def run_tab(panel: Panel, run: str | None, *, fixed: bool, tabs: gr.Tabs, target: str) -> RunTab:
    """The tab, inside of an open `gr.Tab`. fixed: only `run` can be opened, whatever a visitor asks for. target: id of
    the tab that is shown after a click."""
    with gr.Row():
        path = gr.Textbox(
            run or "", label="Run folder", interactive=not fixed, elem_id="run-path", min_width=220, scale=3
        )  # fmt: skip
        start = gr.Button("Open", variant="primary", elem_id="run-start", min_width=100)
    with gr.Row():
        # An address may name a language that the run has not: then all are shown.
        languages = gr.Dropdown(
            [ALL], value=ALL, label="Language", elem_id="run-language", min_width=160, allow_custom_value=True
        )  # fmt: skip
        change = gr.Dropdown([ALL, *CHANGES], value=ALL, label="Change", elem_id="run-change", min_width=160)
    status = gr.HTML(elem_id="run-status", js_on_load=None)
    table = gr.HTML(elem_id="run-results", js_on_load=PICK)
    opened, kept = gr.State(None), gr.State(None)
    query = gr.Textbox(visible="hidden", elem_id="run-query")
    command = exports(RUN_TAB, kept)

    def open_path(asked: str, code: str, which: str) -> tuple[Any, ...]:
        folder = (run or "") if fixed else (asked or "").strip()
        try:
            if not folder:
                raise ConfigError("no run folder", hint="give the folder of a finished run")
            found = open_run_items(folder, panel.session)
        except SpilloverError as error:
            return error_html("; ".join(error.problems), error.hint), "", "", None, gr.skip(), None, gr.skip()
        codes = list(dict.fromkeys(item.language for item in found.items))
        code = code if code in codes else ALL
        choices = [(ALL, ALL), *((language(code).name, code) for code in codes)]
        return *_shown(panel, found, code, which), found, gr.update(choices=choices, value=code)

    def show(found: OpenedRun | None, code: str, which: str) -> tuple[Any, ...]:
        return _shown(panel, found, code, which) if found else tuple(gr.skip() for _ in of_view)

    def pick(found: OpenedRun | None, code: str, which: str, event: gr.EventData) -> list[Any]:
        items = _chosen(found, code, which).items if found else ()
        number = int(event.item)
        if found is None or not 0 <= number < len(items):
            return [gr.skip()] * (2 + len(panel.outputs))
        try:
            question = question_of_item(found, items[number])
            panel.check_task(question.task)
        except SpilloverError as error:
            skipped = [gr.skip()] * (1 + len(panel.outputs))
            return [error_html("; ".join(error.problems), error.hint), *skipped]
        return [gr.skip(), gr.Tabs(selected=target), *panel.updates(question)]

    of_view = [status, table, command, kept, query]
    options = ({} if fixed else {"run": path}) | {"of": languages, "change": change}
    opening = open_path, [path, languages, change], [*of_view, opened, languages]
    for event in (start.click, path.submit):
        keep_address(event(*opening, **AT_ONCE), query)
    for component in (languages, change):
        keep_address(component.input(show, [opened, languages, change], of_view, **AT_ONCE), query)
    picked = table.pick(pick, [opened, languages, change], [status, tabs, *panel.outputs], **AT_ONCE)
    return RunTab(picked, opening, options, query)


def _chosen(found: OpenedRun, code: str, which: str) -> FlipsView:
    return found.flips(None if code == ALL else code, which if which in CHANGES else None)


def _shown(panel: Panel, found: OpenedRun, code: str, which: str) -> tuple[str, str, str, View, str]:
    """Of the chosen items: the status, the table, the command, the view, and the address."""
    flips = _chosen(found, code, which)
    options = {key: text for key, text in {"run": found.path, "of": code, "change": which}.items() if text != ALL}
    view = View(RUN_TAB, None, (flips,), options)
    address = to_query(None, {"tab": RUN_TAB} | options)
    return _note(found, flips), flips_html(flips) if flips.items else "", python_of(view, panel.session), view, address


def _note(found: OpenedRun, flips: FlipsView) -> str:
    if not flips.items:
        return status_html("No item flipped.")
    shown = "" if len(flips.items) <= MOST_ROWS else f" The first {MOST_ROWS} are shown, all are in the downloads."
    note = f"{len(flips.items)} of {len(found.items)} flipped items of {found.task}; click one to ask it.{shown}"
    return status_html(note)
