"""The page as a whole: nothing leaves this machine, nothing sticks out, and many visitors do not disturb each other."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest

from spillover.core.errors import ConfigError
from spillover.explore.gradio_page import check_port
from spillover.models.load import load_model
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_each_tab_fits_and_asks_no_other_host(opened, width, scheme):
    browser = opened(width=width, scheme=scheme)
    for tab, name in (("Ask", "ask"), ("Layers", "layers"), ("Languages", "languages")):
        browser.tab(tab)
        assert "Done in" in browser.start(name)
        assert browser.overflow() <= 0
    assert [url for url in browser.requests if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)] == []
    assert not browser.errors
    dark = browser.page.evaluate("document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")


def test_every_field_has_a_name_for_screen_readers(opened):
    page = opened().page
    unnamed = page.locator("input, textarea, button").evaluate_all(
        """fields => fields.filter(field => field.offsetParent && !field.labels?.length && !field.getAttribute('aria-label')
        && !field.innerText.trim() && !field.title).map(field => field.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


class Visitor:
    """What a browser sends when one asks: the click, then a look now and then."""

    def __init__(self, address, name):
        self.address, self.name = address, name
        self.config = httpx.get(f"{address}/config").json()
        self.ids = {one["props"].get("elem_id"): one["id"] for one in self.config["components"]}

    def send(self, component, trigger, values=()):
        """The outputs of the event, by the component's id."""
        (event,) = (one for one in self.config["dependencies"] if [component, trigger] in map(list, one["targets"]))
        states = len(event["inputs"]) - len(values)
        body = {"fn_index": event["id"], "session_hash": self.name, "data": [*[None] * states, *values]}
        reply = httpx.post(f"{self.address}/gradio_api/run/predict", json=body, timeout=60)
        return dict(zip(event["outputs"], reply.raise_for_status().json()["data"], strict=True))

    def ask(self, values):
        """The HTML of the answers."""
        self.send(self.ids["ask-start"], "click", values)
        shown = self.ids["ask-status"]
        (timer,) = (
            component
            for one in self.config["dependencies"]
            for component, trigger in one["targets"]
            if trigger == "tick" and shown in one["outputs"]
        )
        for _ in range(1000):
            found = self.send(timer, "tick")
            if "Done in" in str(found[shown]):
                return found[self.ids["ask-results"]]
            time.sleep(0.05)
        raise TimeoutError(self.name)


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_fifty_questions_of_eight_visitors_have_the_right_answers(address, workplace):
    model = load_model(str(workplace / "model"), dtype="float32")
    benchmark = open_benchmark("sentiment", languages="sw,de,th", limit=None)
    evaluation = evaluate(model, benchmark)
    asked = [(code, i) for i in range(17) for code in evaluation.scores][:50]

    def ask_all(number):
        visitor = Visitor(address.rstrip("/"), f"visitor{number}")
        return [error for code, i in asked[number::8] for error in errors_of(visitor, code, i)]

    def errors_of(visitor, code, i):
        example = benchmark.examples([code])[code][i]
        texts = [*example.fields.values(), "", "", ""][:2]
        shown = visitor.ask(["sentiment", code, None, "english", *texts, "", "", True, "own", ""])
        expected = evaluation.scores[code].logprobs[evaluation.scores[code].example_ids.index(example.id)]
        logprobs = [float(value) for value in re.findall(r'base: log-probability">(-[\d.]+)<', shown)]
        return [abs(one - other) for one, other in zip(logprobs, expected, strict=True)]

    with ThreadPoolExecutor(8) as pool:
        errors = [error for found in pool.map(ask_all, range(8)) for error in found]
    assert len(errors) == 100
    assert max(errors) < 1e-3


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_port_in_use_has_one_line_with_the_cure():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: address already in use") as error:
            check_port(port)
        assert "another --port" in error.value.hint
    check_port(port)
    with pytest.raises(ConfigError, match="--port 99999: not a port"):
        check_port(99999)
