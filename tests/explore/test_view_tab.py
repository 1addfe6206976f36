"""In the browser: downloads, the command, the address, and cancel."""

from __future__ import annotations

import csv
import io
import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.explore.conftest import CANCELLED, OF_SERVER


def test_what_is_computed_can_be_downloaded_copied_and_sent(opened, tmp_path):
    browser = opened()
    page = browser.page
    assert "Done in" in browser.start("ask")
    page.get_by_text("Copy the command, download").click()
    code = page.locator("#ask-command textarea").input_value()
    assert "open_session('model', adapter='adapter'" in code
    for kind in ("csv", "json", "png"):
        with page.expect_download() as download:
            page.locator(f"#ask-{kind}").click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        if kind == "csv":
            rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
            assert {row["model"] for row in rows} == {"base", "tuned"}
        elif kind == "json":
            assert json.loads(path.read_text(encoding="utf-8"))["tab"] == "ask"
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
    page.wait_for_function("location.search.includes('tab=ask')")
    query = "?" + urlsplit(page.url).query
    shown = page.locator("#ask-results").inner_text()
    assert parse_qs(query[1:])["texts"] == [page.locator("#text-0 textarea").input_value()]
    colleague = opened(query=query)
    colleague.ended("ask")
    assert colleague.page.locator("#ask-results").inner_text() == shown
    assert not browser.errors + colleague.errors


def test_a_question_that_is_asked_while_the_last_answer_is_on_its_way_is_answered_too(opened):
    browser = opened()
    page, held = browser.page, []

    def hold(route):
        answer = route.fetch()
        if "Done in" in answer.text() and not held:
            held.append((route, answer))
        else:
            route.fulfill(response=answer)

    page.route(OF_SERVER, hold)
    page.locator("#ask-start").click()
    for _ in range(1200):
        if held:
            break
        page.wait_for_timeout(50)
    with page.expect_response(lambda response: "Computing" in response.text()):
        page.locator("#ask-start").click()
    (route, answer), *_ = held
    before = answer.json()["data"][0]
    route.fulfill(response=answer)
    page.unroute_all(behavior="wait")
    page.wait_for_function(
        "(before) => /Done in/.test(document.querySelector('#ask-status').innerText)"
        " && !document.querySelector('#ask-status').innerHTML.includes(before)",
        arg=re.search('data-moment="[0-9]+"', before).group(),
    )
    assert not browser.errors


@pytest.mark.slow
def test_cancel_stops_a_long_computation(opened):
    browser = opened()
    browser.tab("Languages")
    browser.page.locator("#languages-start").click()
    browser.page.wait_for_function("/\\d+ of/.test(document.querySelector('#languages-status').innerText)")
    browser.page.locator("#languages-cancel").click()
    assert browser.ended("languages", CANCELLED) == "Cancelled."
    assert "Done in" in browser.start("languages")
    browser.tab("Ask")
    assert "Done in" in browser.start("ask")
