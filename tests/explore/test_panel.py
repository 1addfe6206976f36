"""In the browser: a choice of task, language or example brings what belongs to it; one's own text stays."""

from __future__ import annotations

import pytest

from tests.explore.conftest import OF_SERVER

HELD = "irrelevant"
DELAY = 500
"""Milliseconds that an answer of the server is given to arrive."""


@pytest.mark.slow
def test_the_panel_follows_its_choices(opened):
    browser = opened()
    page = browser.page
    first = page.locator("#text-0 textarea")
    assert first.input_value()
    english = first.input_value()
    browser.choose("language", "(sw)")
    page.wait_for_function("(text) => document.querySelector('#text-0 textarea').value !== text", arg=english)
    first.fill("Maandishi yangu")
    browser.choose("language", "(th)")
    page.wait_for_function("document.querySelector('#example input').value === ''")
    assert first.input_value() == "Maandishi yangu"
    browser.choose("labels", "your own")
    page.wait_for_selector("#words input, #words textarea", state="visible")
    browser.choose("task", "copa")
    page.wait_for_selector("#choices textarea", state="visible")
    page.wait_for_selector("#text-1 textarea", state="visible")
    assert page.locator("#choices textarea").input_value().count("\n") == 1
    browser.choose("task", "a prompt of")
    page.wait_for_selector("#blank input", state="visible")
    page.wait_for_selector("#text-1 textarea", state="hidden")
    assert not browser.errors


def test_a_list_that_is_left_as_it_was_changes_nothing(opened):
    browser = opened()
    page = browser.page
    page.locator("#text-0 textarea").fill("A text of my own.")
    for name in ("task", "language", "labels"):
        page.locator(f"#{name} input").click()
        page.locator("h1").click()
    page.wait_for_timeout(DELAY)
    assert "Done in" in browser.start("ask")
    assert page.locator("#text-0 textarea").input_value() == "A text of my own."


def test_what_is_typed_while_a_choice_is_on_its_way_stays(opened):
    browser = opened()
    page = browser.page
    held = []
    page.route(OF_SERVER, lambda route: held.append(route) if HELD in route.request.post_data else route.continue_())
    browser.choose("labels", HELD, answered=False)
    text = page.locator("#text-0 textarea")
    text.fill("A text of my own.")
    for route in held:
        route.continue_()
    page.unroute(OF_SERVER)
    page.wait_for_timeout(DELAY)
    assert len(held) == 1
    assert text.input_value() == "A text of my own."
    assert "Done in" in browser.start("ask")


def test_a_choice_is_one_request_and_no_event_waits_for_another(opened):
    browser = opened()
    before = len(browser.requests)
    browser.choose("labels", "your own")
    browser.page.locator("#words textarea").wait_for(state="visible")
    browser.page.wait_for_timeout(DELAY)
    sent = browser.requests[before:]
    assert len([url for url in sent if "/run/" in url]) == 1
    assert not [url for url in sent if "/queue/" in url]


@pytest.mark.slow
def test_an_example_that_is_chosen_again_brings_its_texts_back(opened):
    browser = opened()
    text = browser.page.locator("#text-0 textarea")
    first = text.input_value()
    text.fill("A text of my own.")
    browser.choose("example", first[:30])
    browser.page.wait_for_function("(text) => document.querySelector('#text-0 textarea').value === text", arg=first)
