"""The page: the question above, and a tab for each way to look at it. Served on this machine alone.

Nothing is asked of other hosts: no analytics, no fonts, no scripts.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

# Gradio reads it when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from spillover.core.errors import ConfigError, RunError
from spillover.explore.ask_tab import ask_tab
from spillover.explore.asked_question import from_query
from spillover.explore.languages_tab import languages_tab
from spillover.explore.layers_tab import layers_tab
from spillover.explore.panel import AT_ONCE, Panel, first_question, make_panel
from spillover.explore.run_tab import RUN_TAB, RunTab, run_tab
from spillover.explore.session import Session
from spillover.explore.view_html import text_html
from spillover.explore.view_tab import ViewTab, keep_address

HOST = "127.0.0.1"
TITLE = "spillover explore"
FIRST_TAB = "ask"
# Visitors whose last results are kept.
VISITORS = 200


def check_port(port: int) -> None:
    """ConfigError for a port that cannot be served on: found before a model is loaded."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "not a port"
            raise ConfigError(
                f"--port {port}: {reason.lower()}", hint="another --port, or leave it out: a free one is chosen"
            ) from None


def make_page(session: Session, tasks: Sequence[str], *, run: str | None = None, fixed_run: bool = False) -> gr.Blocks:
    """The page, not served yet. tasks: offered first, before the bundled ones. run: a run folder to begin with.
    fixed_run: no other one can be opened, for a page that strangers see."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(_heading(session), js_on_load=None)
        panel = make_panel(session, tasks)
        # What the first answer and the first lens compute for all, before anybody waits for it: checks, and the shots.
        first = first_question(session, panel.tasks[0])
        panel.worker.start(chain(session.answers(first), session.lens(first)))
        views: list[ViewTab] = []
        with gr.Tabs(elem_id="tabs") as tabs:
            for name, title, make in (
                ("ask", "Ask", ask_tab), ("layers", "Layers", layers_tab), ("languages", "Languages", languages_tab),
            ):  # fmt: skip
                with gr.Tab(title, id=name, elem_id=f"tab-{name}"):
                    views.append(make(panel))
            with gr.Tab("Run", id=RUN_TAB, elem_id=f"tab-{RUN_TAB}"):
                of_run = run_tab(panel, run, fixed=fixed_run, tabs=tabs, target=FIRST_TAB)
        _load_item(views, of_run)
        _open_address(page, panel, tabs, views, of_run, run)
    return page


def _heading(session: Session) -> str:
    names = " and ".join(
        f"<strong>{text_html(side.name)}</strong> ({text_html(side.model.ref.title)})" for side in session.sides
    )
    return f"<h1>{TITLE}</h1><p>{names}</p>"


def _load_item(views: Sequence[ViewTab], of_run: RunTab) -> None:
    """A clicked item of the run is asked at once, and looked into."""
    event = of_run.picked
    for view in (view for view in views if view.name in ("ask", "layers")):
        event = event.then(view.begin, view.inputs, view.outputs, **AT_ONCE)


def _open_address(
    page: gr.Blocks, panel: Panel, tabs: gr.Tabs, views: Sequence[ViewTab], of_run: RunTab, run: str | None
) -> None:
    """When the page is opened its address says what it shows; where it says something, that is computed."""
    wanted = gr.Textbox("", visible="hidden")
    options = [(view.name, key, component) for view in views for key, component in view.options.items()]
    options += [(RUN_TAB, key, component) for key, component in of_run.options.items()]

    def restore(query: str) -> list[Any]:
        question, kept = from_query(query or "")
        name = kept.get("tab", "")
        if question is not None and question.task not in panel.tasks:
            question = None
        if question is None:
            name = RUN_TAB if name == RUN_TAB or (run and not name) else ""
        values = [
            _option_value(component, kept[key]) if of == name and key in kept else gr.skip()
            for of, key, component in options
        ]
        chosen = gr.Tabs(selected=name) if name in {RUN_TAB, *(view.name for view in views)} else gr.skip()
        shown = panel.updates(question) if question else [gr.skip()] * len(panel.outputs)
        return [name, chosen, *values, *shown]

    address = gr.Textbox(visible="hidden")
    outputs = [wanted, tabs, *(component for _, _, component in options), *panel.outputs]
    page.load(restore, address, outputs, js="() => window.location.search", **AT_ONCE)

    def begin_wanted(name: str, *values: Any) -> list[Any]:
        """Begins the tab of that name; the other tabs stay as they are."""
        filled: list[Any] = []
        for view in views:
            its_inputs, values = values[: len(view.inputs)], values[len(view.inputs) :]
            filled += view.begin(*its_inputs) if view.name == name else [gr.skip()] * len(view.outputs)
        return filled

    inputs, outputs = ([one for view in views for one in getattr(view, kind)] for kind in ("inputs", "outputs"))
    wanted.change(begin_wanted, [wanted, *inputs], outputs, **AT_ONCE)
    opening, inputs, filled = of_run.opening

    def open_wanted(name: str, *values: Any) -> Any:
        return opening(*values) if name == RUN_TAB else tuple(gr.skip() for _ in filled)

    keep_address(wanted.change(open_wanted, [wanted, *inputs], filled, **AT_ONCE), of_run.query)


def _option_value(component: Any, text: str) -> Any:
    """An option's update from an address; as it is where the text is no value of it."""
    if isinstance(component, gr.Dropdown) and not component.allow_custom_value:
        return gr.update(value=text) if text in [value for _, value in component.choices] else gr.skip()
    if not isinstance(component, gr.Slider):
        return gr.update(value=text)
    number = int(text) if text.isdecimal() else 0
    return gr.update(value=number) if component.minimum <= number <= component.maximum else gr.skip()


def launch_options() -> dict[str, Any]:
    """What a page is launched with, here and on a Space: style, script, and nothing that Gradio offers beside it."""
    folder = Path(__file__).parent
    script = (folder / "page.js").read_text(encoding="utf-8")
    system = ("system-ui", "Noto Sans", "sans-serif")
    return {
        "theme": gr.themes.Default(font=system, font_mono=("ui-monospace", "monospace")),
        "css": (folder / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}</script>",
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": False,
        "ssr_mode": False,
        "pwa": False,
        "quiet": True,
        "state_session_capacity": VISITORS,
    }


def serve(page: gr.Blocks, *, port: int | None = None, share: bool = False) -> str:
    """Serve a page on this machine in threads of their own, and return its address; with `share` the public one that
    Gradio's servers give. RunError where it cannot be served or shared."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            _, local, public = page.launch(
                server_name=HOST,
                server_port=port,
                share=share,
                inbrowser=False,
                prevent_thread_lock=True,
                **launch_options(),
            )
    except OSError as error:
        raise RunError(f"the page cannot be served: {error}", hint="another --port") from None
    if share and not public:
        page.close()
        raise RunError("Gradio's servers gave no public address", hint="leave --share out, or check the network")
    return str(public or local)
