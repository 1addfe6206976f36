"""The words that the lens measures: target sets, first tokens and random words."""

from __future__ import annotations

import numpy as np

from spillover.stages.probe.lens_targets import target_sets, token_text
from spillover.tasks.wording import load_task
from tests.builders import make_model
from tests.stages.probe.builders import read_lens


def test_a_first_token_that_two_words_share_counts_for_neither_and_is_counted(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "hi", limit=2)
    reading = read_lens(tiny, prompts)
    targets = reading.targets
    measured = reading.measured
    native = targets.sets.index("native")
    assert targets.start_tokens[native][0] == targets.start_tokens[native][1], "both begin with the byte E0"
    assert targets.first_tokens[native] == [[], []]
    assert targets.n_shared[native] == 1
    assert np.isnan(measured["lens.first"][:, :, native]).all()
    assert np.isfinite(measured["lens.sequence"]).all()


def test_the_papers_rule_takes_every_token_that_begins_the_word(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "en", limit=2)
    exact, paper = (read_lens(tiny, prompts, rule=rule).targets.first_tokens[0] for rule in ("exact", "paper"))
    assert all(set(few) <= set(many) for few, many in zip(exact, paper, strict=True))
    assert len(paper[0]) > 1


def test_target_sets(all_languages):
    task = load_task("sentiment")
    assert target_sets(task, "en", "english") == ({"reference": ("positive", "negative")}, "reference")
    assert target_sets(task, "hi", "native")[1] == "native"
    sets, asked = target_sets(task, "zh", "irrelevant")
    assert (list(sets), asked) == (["reference", "native", "romanised", "asked"], "asked")
    assert sets["romanised"] == ("zhengmian", "fumian")


def test_words_that_the_tokenizer_does_not_know_are_left_out(demo_prompts):
    model = make_model("whole-words")
    reading = read_lens(model, demo_prompts("sentiment", "hi", limit=2))
    targets = reading.targets
    measured = reading.measured
    assert "native" not in targets.sets
    assert np.isfinite(measured["lens.sequence"]).all()


def test_parts_of_a_character_are_shown_as_hex():
    assert token_text("正".encode()) == "正"
    assert token_text("正".encode()[:2]) == "⟨E6 AD⟩"
