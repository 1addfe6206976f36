"""Tiny models with which the page is tried, and the page itself: one server for all tests, started as a person would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spillover.explore.session import session_of
from spillover.models.load import attach_adapter, load_model
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from tests.builders import make_model, save_adapter, save_model, small_data

READY = 120_000


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


@pytest.fixture(scope="session")
def address(workplace):
    """The page of the run's models, in a process of its own; without it the test of a browser has nothing to open."""
    command = [sys.executable, "-m", "spillover", "explore", "--model", "model", "--adapter", "adapter"]
    command += ["--dtype", "float32", "--run", "run", "--data", "demo"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(
        command, cwd=workplace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(server.stderr), daemon=True)
    reader.start()
    line = server.stdout.readline()
    if not re.match(r"http://127\.0\.0\.1:\d+", line):
        server.kill()
        reader.join(10)
        pytest.fail(f"no address: {line!r} {''.join(errors)}")
    yield line.strip()
    server.terminate()
    server.wait(30)


class OpenedPage:
    """A tab of the browser with what it asked for and what its console said."""

    def __init__(self, browser, address, *, width=1440, query="", scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.page = context.new_page()
        self.page.set_default_timeout(READY)  # a busy machine is no failure
        self.requests, self.messages = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append((message.type, message.text)))
        self.page.on("pageerror", lambda error: self.messages.append(("error", str(error))))
        self.page.goto(address + query)
        self.page.wait_for_selector("#ask-start, #run-start, #layers-start, #languages-start", timeout=READY)
        # The first question is filled in when the page has asked for it.
        self.page.wait_for_function("document.querySelector('#task input')?.value", timeout=READY)

    @property
    def errors(self):
        return [message for message in self.messages if message[0] == "error"]

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()

    def start(self, name):
        """Press the tab's button, and wait until it is done: the text of its status."""
        self.page.locator(f"#{name}-start").click()
        return self.ended(name)

    def ended(self, name):
        status = self.page.locator(f"#{name}-status")
        self.page.wait_for_function(
            "(name) => /Done in|Try:|flipped|Cancelled/.test(document.querySelector(`#${name}-status`)?.innerText ?? '')",
            arg=name,
            timeout=READY,
        )
        return status.inner_text()

    def choose(self, name, text):
        """Type into a list of choices, and take the one that holds the text, or what was typed where none does."""
        box = self.page.locator(f"#{name} input")
        box.click()
        box.fill(text)
        option = self.page.locator("ul[role=listbox] li", has_text=text)
        if option.count():
            option.first.click()
        else:
            box.press("Enter")

    def overflow(self):
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture
def opened(browser, address):
    """Opens the page: opened(width=390, query="?tab=...")."""
    pages = []

    def open_page(**options):
        pages.append(OpenedPage(browser, address, **options))
        return pages[-1]

    yield open_page
    for opened_page in pages:
        opened_page.page.context.close()
