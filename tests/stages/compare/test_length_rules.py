"""Accuracy under every length rule, before and after, with the declared one as the headline."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.stages.compare.length_rules import length_sentences
from spillover.stages.compare.result import Outcome, Topic
from spillover.stages.compare.stage import compare
from tests.builders import random_evaluation
from tests.stages.compare.builders import own_answers


def test_every_rule_is_said_and_the_declared_one_is_the_headline():
    rng = np.random.default_rng(0)
    before, after = own_answers(rng, skill=0.5), own_answers(rng, skill=2.0)
    (sentence,) = length_sentences(before, after, CompareConfig())
    assert sentence.about == Topic.LENGTHS
    assert "The headline is per byte, as the task declares." in sentence.text
    for rule, lengths in (("sum", None), ("token", "label_tokens"), ("byte", "answer_bytes")):
        by_hand = []
        for side in (before, after):
            hits = []
            for scores in side.scores.values():
                divisor = 1 if lengths is None else np.maximum(getattr(scores, lengths), 1)
                hits.append(((scores.logprobs / divisor).argmax(axis=1) == scores.gold).mean())
            by_hand.append(np.mean(hits))
        assert sentence.numbers[rule] == pytest.approx(by_hand)
    comparison = compare(before, after)
    assert comparison.group_change("all", "accuracy").after == pytest.approx(sentence.numbers["byte"][1])


def test_another_rule_than_the_declared_one_is_said():
    rng = np.random.default_rng(0)
    sides = own_answers(rng), own_answers(rng)
    config = CompareConfig(length="sum")
    (sentence,) = length_sentences(*sides, config)
    assert "The headline is summed; the task declares per byte." in sentence.text
    assert compare(*sides, config=config).group_change("all", "accuracy").before == sentence.numbers["sum"][0]


def test_label_words_have_no_such_sentence():
    rng = np.random.default_rng(0)
    sides = [random_evaluation(rng, ["en"], 20) for _ in range(2)]
    assert length_sentences(*sides, CompareConfig()) == []


def test_what_is_not_defined_for_choices_is_nan_and_said():
    rng = np.random.default_rng(0)
    comparison = compare(own_answers(rng, skill=0.2), own_answers(rng, skill=3.0))
    assert comparison.group_change("all", "accuracy").verdict == Outcome.IMPROVED
    assert comparison.group_change("all", "auroc").verdict == Outcome.UNDEFINED
    assert comparison.languages["calibrated_accuracy_delta"].isna().all()
    assert comparison.languages["reason"].str.startswith("not defined for choices").all()
    assert "label bias and AUROC are not defined for choices" in comparison.verdict[0].text
    assert not comparison.languages["one_answer_after"].any()
