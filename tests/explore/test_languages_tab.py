"""In the browser: one item in all languages, and in one's own translations."""

from __future__ import annotations

import pytest

from spillover.core.languages import known_languages


@pytest.mark.slow
def test_an_example_in_all_languages(opened):
    browser = opened()
    browser.tab("Languages")
    assert "Done in" in browser.start("languages")
    tables = browser.page.locator("#languages-results table")
    assert tables.first.locator("tbody tr").count() == len(known_languages())
    assert tables.count() == 4
    assert "The languages are nearest at layer" in browser.page.locator("#languages-results").inner_text()
    assert not browser.errors


@pytest.mark.slow
def test_ones_own_translations(opened):
    browser = opened()
    browser.page.locator("#text-0 textarea").fill("A text of my own.")
    browser.tab("Languages")
    assert "in no other language" in browser.start("languages")
    browser.page.locator("#translations textarea").fill("sw: Maandishi yangu.\nth: ข้อความของฉัน")
    assert "Done in" in browser.start("languages")
    text = browser.page.locator("#languages-results").inner_text()
    assert "ข้อความของฉัน" in text
    assert "Swahili" in text
    assert not browser.errors
