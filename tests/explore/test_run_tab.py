"""In the browser: a run's flipped items; a click asks one and looks into it."""

from __future__ import annotations

import pytest


def test_a_flipped_item_is_asked_with_a_click(opened):
    browser = opened(query="?tab=run")
    page = browser.page
    assert "flipped items of sentiment" in browser.ended("run")
    item = page.locator(".sp-item").first
    row = item.locator("xpath=ancestor::tr").inner_text()
    item.click()
    assert "Done in" in browser.ended("ask")
    text = page.locator("#text-0 textarea").input_value()
    assert text
    assert text in row
    browser.tab("Layers")
    browser.ended("layers")
    assert page.locator(".sp-lens").count() == 2
    assert not browser.errors


@pytest.mark.slow
def test_a_folder_that_is_no_run_has_one_line_with_the_cure(opened):
    browser = opened(query="?tab=run")
    browser.ended("run")
    browser.page.locator("#run-path input, #run-path textarea").first.fill("nothing")
    assert "not a run folder" in browser.start("run")
    assert not browser.errors
