"""In the browser: the numbers of Ask are those of `evaluate`; what is wrong is said in one line."""

from __future__ import annotations

import pytest

from spillover.core.config import EvaluateConfig
from spillover.models.load import load_model
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark

HOSTILE = "<img src=x onerror='window.hacked=1'><b>bold</b> **md** {{x}} ${window.hacked=2} \u202eevil"


def test_the_numbers_are_those_of_evaluate(opened, workplace):
    browser = opened()
    browser.choose("language", "(sw)")
    browser.choose("labels", "native")
    browser.page.wait_for_timeout(500)
    browser.start("ask")
    model = load_model(str(workplace / "model"), dtype="float32")
    benchmark = open_benchmark("sentiment", languages="sw", limit=None)
    scores = evaluate(model, benchmark, config=EvaluateConfig(labels="native")).scores["sw"]
    text = browser.page.locator("#ask-results").inner_text()
    for value in scores.logprobs[0]:
        assert any(f"{value + shift:.4f}" in text for shift in (0, 1e-4, -1e-4)), (value, text)
    assert "base leans to" in text
    assert "tuned leans to" in text
    assert not browser.errors


def test_a_prompt_of_ones_own_with_words_of_ones_own(opened):
    browser = opened()
    browser.choose("task", "a prompt of")
    browser.page.wait_for_selector("#blank input", state="visible")
    browser.page.locator("#text-0 textarea").fill("مرحبا: good or bad?")
    browser.page.locator("#words input, #words textarea").first.fill("good, bad")
    assert "Done in" in browser.start("ask")
    assert "calibration needs" in browser.page.locator("#ask-results").inner_text()
    browser.page.locator("#words input, #words textarea").first.fill("good, good")
    assert "'good' stands for two labels" in browser.start("ask")


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_has_one_line(opened, text):
    browser = opened()
    browser.page.locator("#text-0 textarea").fill(text)
    assert "the text is empty" in browser.start("ask")


def test_a_text_beyond_the_context_and_a_language_without_wording(opened):
    browser = opened()
    browser.page.locator("#text-0 textarea").fill("good " * 3000)
    assert "context is 4096" in browser.start("ask")
    browser.page.locator("#text-0 textarea").fill("Iwe to dara")
    browser.choose("language", "yo")
    browser.page.wait_for_timeout(500)
    assert "no wording in 'yo'" in browser.start("ask")
    assert not browser.errors


def test_hostile_text_is_shown_as_text(opened):
    browser = opened()
    browser.page.locator("#text-0 textarea").fill(HOSTILE)
    browser.choose("labels", "your own")
    words = browser.page.locator("#words input, #words textarea").first
    words.wait_for(state="visible")
    words.fill("<img src=x onerror=hacked=3>, ${hacked=4}{{y}}")
    assert "Done in" in browser.start("ask")
    assert "<img src=x onerror=hacked=3>" in browser.page.locator("#ask-results").inner_text()
    browser.tab("Layers")
    browser.start("layers")
    browser.tab("Languages")
    browser.page.locator("#translations textarea").fill(f"en: {HOSTILE}\n<b>: {HOSTILE}")
    browser.start("languages")
    assert browser.page.evaluate("typeof window.hacked") == "undefined"
    assert browser.page.locator("img[src=x]").count() == 0
    assert not browser.errors
