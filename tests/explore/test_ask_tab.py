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
    english = browser.page.locator("#text-0 textarea").input_value()
    browser.choose("language", "(sw)")
    browser.page.wait_for_function(
        "(text) => document.querySelector('#text-0 textarea').value !== text", arg=english
    )  # fmt: skip
    browser.choose("labels", "native")
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


@pytest.mark.slow
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


def test_what_cannot_be_asked_has_one_line(opened):
    browser = opened()
    text = browser.page.locator("#text-0 textarea")
    for empty in ("", "   "):
        text.fill(empty)
        assert "the text is empty" in browser.start("ask")
    text.fill("good " * 5000)
    assert "context is 4096" in browser.start("ask")
    text.fill("Iwe to dara")
    browser.choose("language", "yo", listed=False)
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
