"""In the browser: the heatmap, its details by mouse and by keyboard, and the curves below."""

from __future__ import annotations


def test_a_cell_shows_its_ten_most_probable_tokens(opened):
    browser = opened()
    page = browser.page
    browser.tab("Layers")
    assert "Done in" in browser.start("layers")
    assert page.locator(".sp-lens").count() == 2
    table = page.locator(".sp-lens").first
    assert table.locator("tbody tr").count() == 3
    cell = table.locator(".sp-cell").first
    cell.click()
    assert table.locator(".sp-detail li").count() == 10
    before = table.locator(".sp-detail strong").inner_text()
    assert "layer 2, position 1" in before
    cell.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "layer 1, position 2" in table.locator(".sp-detail strong").inner_text()
    text = page.locator("#layers-results").inner_text()
    assert "entropy" in text
    assert "peaks at layer" in text
    assert not browser.errors
