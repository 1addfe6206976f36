"""Arms keep what they must keep and lack what they must lack."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import BuildConfig
from spillover.core.types import TrainingPair
from spillover.stages.build import build_pairs
from spillover.stages.build.arms import copied, matched, shuffled, size, templated


def test_shuffled_arm_keeps_no_translation_and_loses_none():
    pairs = build_pairs("sentiment", languages=["es", "de"])
    moved = shuffled(pairs, np.random.default_rng(0))
    for old, new in zip(pairs, moved, strict=True):
        assert (old.prompt, old.source) == (new.prompt, new.source)
        assert old.completion != new.completion
    assert sorted(pair.completion for pair in pairs) == sorted(pair.completion for pair in moved)


def test_copy_arm_has_no_source_language_and_the_same_instruction():
    pair = build_pairs("sentiment", languages=["es"])[0]
    placebo = copied(pair)
    assert placebo.prompt == pair.completion + "\nTranslate the input from Spanish to English:\n"
    assert placebo.completion == pair.completion


def test_template_arm_stays_in_the_source_language():
    pairs = build_pairs("sentiment", languages=["es"])
    for old, new in zip(pairs, templated(pairs, np.random.default_rng(0)), strict=True):
        assert new.prompt == old.prompt
        assert new.completion.startswith("Reseña: ")
        assert new.completion.endswith('\nSentimiento: "')
        assert not new.prompt.startswith(new.completion)


@pytest.mark.parametrize("arm", ["shuffled", "copy", "template"])
def test_an_arm_has_as_many_pairs_and_bytes_as_the_real_one(arm):
    real = build_pairs("sentiment", languages=["es", "de"], seed=3)
    made = build_pairs("sentiment", languages=["es", "de"], seed=3, config=BuildConfig(arm=arm))
    assert len(made) == len(real)
    assert sum(map(size, made)) == pytest.approx(sum(map(size, real)), rel=0.01)
    again = build_pairs("sentiment", languages=["es", "de"], seed=3, config=BuildConfig(arm=arm))
    assert made == again


def test_matched_uses_all_pairs_when_they_fit_and_gives_up_when_none_can():
    pairs = build_pairs("sentiment", languages=["es"])
    assert sorted(map(size, matched(pairs, pairs, np.random.default_rng(0)))) == sorted(map(size, pairs))
    tiny = [TrainingPair("a", "es", "en", "x", "y")]
    assert matched(tiny, pairs, np.random.default_rng(0)) == tiny * len(pairs)
