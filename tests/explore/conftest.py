"""Tiny models with which the page is tried, and the page itself: one server for all tests, started as a person would."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError

from spillover.explore.session import session_of
from spillover.models.load import attach_adapter, load_model
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from tests.builders import make_model, save_adapter, save_model, small_data

READY = 120_000
OF_SERVER = re.compile("/gradio_api/run/")
ENDED = re.compile("Done in|Try:|flipped")
CANCELLED = re.compile("Cancelled")


@pytest.fixture(scope="session")
def session():
    """Two models side by side, on the demo data."""
    return session_of({"base": make_model(seed=0), "tuned": make_model(seed=1)})


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Path:
    """A model, its adapter, parallel data, and a run in which both were evaluated on it."""
    root = tmp_path_factory.mktemp("explore")
    base = load_model(str(save_model(root / "model")), dtype="float32")
    tuned = attach_adapter(base, str(save_adapter(root / "adapter", root / "model")))
    benchmark = open_benchmark("sentiment", data=str(small_data(root / "data", items=12)))
    for model in (base, tuned):
        evaluate(model, benchmark, out=root / "run")
    return root


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """The address of a page that the command serves in a process of its own."""
    command = [sys.executable, "-m", "spillover", "explore", *options]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(server.stderr), daemon=True)
    reader.start()
    try:
        line = server.stdout.readline()
        if not re.match(r"http://127\.0\.0\.1:\d+", line):
            server.kill()
            reader.join(10)
            pytest.fail(f"no address: {line!r} {''.join(errors)}")
        yield line.strip()
    finally:
        server.terminate()
        server.wait(60)
        reader.join(10)
        server.stdout.close()
        server.stderr.close()


@pytest.fixture(scope="session")
def address(workplace):
    """The page of the run's models."""
    options = ["--model", "model", "--adapter", "adapter", "--dtype", "float32", "--run", "run", "--data", "demo"]
    with served(workplace, *options) as address:
        yield address


class OpenedPage:
    """A tab of the browser with what it asked for and what its console said."""

    def __init__(self, context, address, *, query="?tab=ask"):
        self.page = context.new_page()
        self.page.set_default_timeout(READY)  # a busy machine is no failure
        self.requests, self.messages = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append((message.type, message.text)))
        self.page.on("pageerror", lambda error: self.messages.append(("error", str(error))))
        # The page is ready when what it asks on opening is answered.
        with self.page.expect_response(OF_SERVER):
            self.page.goto(address + query)
        self.page.wait_for_function("document.querySelector('#task input')?.value")

    @property
    def errors(self):
        return [message for message in self.messages if message[0] == "error"]

    def tab(self, name):
        """Go to a tab; on a narrow screen some are behind a button."""
        self.page.locator("[role=tab]:visible").first.wait_for()
        tab = self.page.locator("[role=tab]:visible", has_text=name)
        if not tab.count():
            self.page.locator(".overflow-menu > button").click()
            tab = self.page.locator(".overflow-dropdown button:visible", has_text=name)
        tab.click()

    def start(self, name):
        """Press the tab's button, and wait until it is done: the text of its status."""
        shown = self.page.locator(f"#{name}-status [role]")
        shown.evaluate_all("lines => lines.forEach(line => line.setAttribute('data-before', ''))")
        self.page.locator(f"#{name}-start").click()
        return self.ended(name)

    def ended(self, name, how=ENDED):
        """Wait until what was started last is done: the text of its status. how: what the status then says. That a
        computation was cancelled may be shown once more after the next has begun."""
        line = self.page.locator(f"#{name}-status [role]:not([data-before])", has_text=how)
        try:
            line.wait_for()
        except TimeoutError:
            status = self.page.locator(f"#{name}-status").inner_html()
            pytest.fail(f"{name} did not end: {status!r}; {self.messages}; last asked for: {self.requests[-6:]}")
        return line.inner_text()

    def choose(self, name, text, *, listed=True, answered=True):
        """Take the choice of a list that holds the text, or type what is not `listed`; wait until the page has followed
        it, or, not `answered`, until it has asked how."""
        box = self.page.locator(f"#{name} input")
        box.click()
        box.fill(text)
        expect = self.page.expect_response if answered else self.page.expect_request
        with expect(OF_SERVER):
            if listed:
                self.page.locator("ul[role=listbox] li", has_text=text).first.click()
            else:
                box.press("Enter")
                box.press("Tab")

    def overflow(self):
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture(scope="session")
def contexts(browser):
    """Tabs of the same width and scheme share what the browser has loaded of the page: contexts(width, scheme)."""
    found = {}

    def context(width, scheme):
        if (width, scheme) not in found:
            viewport = {"width": width, "height": 900}
            found[width, scheme] = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True)
        return found[width, scheme]

    yield context
    for opened_context in found.values():
        opened_context.close()


@pytest.fixture
def opened(contexts, request):
    """Opens the page: opened(width=390, query="?tab=...")."""
    pages = []

    def open_page(*, width=1440, scheme="light", query="?tab=ask", address=None):
        address = address or request.getfixturevalue("address")
        pages.append(OpenedPage(contexts(width, scheme), address, query=query))
        return pages[-1]

    yield open_page
    for opened_page in pages:
        opened_page.page.close()
