"""In the browser: a run's flipped items; a click asks one and looks into it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest


def test_a_flipped_item_is_asked_with_a_click(opened):
    browser = opened(query="?tab=run")
    page = browser.page
    assert "flipped items of sentiment" in browser.ended("run")
    every = page.locator(".sp-item").count()
    browser.choose("run-change", "newly wrong")
    page.wait_for_function("location.search.includes('change=newly')")
    shown = page.locator("#run-results").inner_text()
    assert 0 < page.locator(".sp-item").count() < every
    page.get_by_text("Copy the command, download").locator("visible=true").click()
    assert "open_run_items('run', session).flips(change='newly wrong')" in (
        page.locator("#run-command textarea").input_value()
    )
    with page.expect_download() as download:
        page.locator("#run-csv").click()
    assert download.value.suggested_filename == "spillover-run.csv"
    colleague = opened(query="?" + urlsplit(page.url).query)
    assert "flipped items of sentiment" in colleague.ended("run")
    assert colleague.page.locator("#run-results").inner_text() == shown
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
