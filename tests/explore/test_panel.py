"""In the browser: a choice of task, language or example brings what belongs to it; one's own text stays."""

from __future__ import annotations


def visible_texts(page):
    return page.locator("textarea.scroll-hide, [id^=text-] textarea").evaluate_all(
        "boxes => boxes.filter(box => box.offsetParent && box.closest('[id^=text-]')).map(box => box.value)"
    )


def test_the_panel_follows_its_choices(opened):
    browser = opened()
    page = browser.page
    first = page.locator("#text-0 textarea")
    assert first.input_value()
    english = first.input_value()
    browser.choose("language", "(sw)")
    page.wait_for_function("(text) => document.querySelector('#text-0 textarea').value !== text", arg=english)
    page.wait_for_timeout(300)
    first.fill("Maandishi yangu")
    browser.choose("language", "(th)")
    page.wait_for_timeout(800)
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
