"""Measures of alignment against their literal definitions, and on states whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.stats.similarity import cosines, csls, margins, mexa, mexa_hits, retrieval_hits


def pair(n=12, hidden=8, noise=0.7, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(n, hidden))
    return source, source + noise * rng.normal(size=(n, hidden))


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def literal_mexa(source, target):
    hits = 0
    for i in range(len(source)):
        true = cosine(source[i], target[i])
        others = [cosine(source[i], target[j]) for j in range(len(target)) if j != i]
        others += [cosine(source[j], target[i]) for j in range(len(source)) if j != i]
        hits += all(true > other for other in others)
    return hits / len(source)


@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0.0, 3.0))
def test_mexa_is_a_literal_loop_of_its_definition(seed, n, noise):
    source, target = pair(n=n, noise=noise, seed=seed)
    assert mexa(source, target) == literal_mexa(source, target)


def test_ties_are_no_hits_whatever_the_rounding():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(size=(1, 576)), 40, axis=0).astype(np.float16)
    assert mexa(same, same) == 0
    source, _ = pair()
    source[1] = source[0]
    assert mexa_hits(cosines(source, source)).tolist() == [False, False] + [True] * 10


def test_edges_of_mexa():
    assert math.isnan(mexa(np.zeros((0, 4)), np.zeros((0, 4))))
    assert mexa(np.ones((1, 4)), np.ones((1, 4))) == 1
    source, target = pair()
    source[3] = 0
    assert not mexa_hits(cosines(source, target))[3]


def test_a_rotation_changes_cosines_within_no_language_but_ruins_retrieval_between_them():
    source, _ = pair(n=40, hidden=30)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    assert mexa(source, source) == 1
    assert mexa(source @ rotation, source @ rotation) == 1
    assert mexa(source, source @ rotation) < 0.2


@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_csls_against_a_loop(k):
    source, target = pair()
    similarity = cosines(source, target)
    n, near = len(source), min(k, len(source))
    for i in range(n):
        for j in range(n):
            mine = sorted((cosine(source[i], target[m]) for m in range(n)), reverse=True)[:near]
            theirs = sorted((cosine(source[m], target[j]) for m in range(n)), reverse=True)[:near]
            expected = 2 * cosine(source[i], target[j]) - sum(mine) / near - sum(theirs) / near
            assert csls(similarity, k)[i, j] == pytest.approx(expected)


def test_csls_corrects_for_a_hub():
    """One target is near to every source: by cosine it wins all rows, by CSLS none but its own."""
    rng = np.random.default_rng(3)
    source = rng.normal(size=(30, 20)) + 2
    target = source + 1.3 * rng.normal(size=source.shape)
    target[0] = 2
    similarity = cosines(source, target)
    assert retrieval_hits(csls(similarity)).mean() > retrieval_hits(similarity).mean() + 0.2


def test_margin_is_true_pairs_minus_shuffled_pairs():
    source, target = pair()
    similarity = cosines(source, target)
    n = len(source)
    others = [similarity[i, j] for i in range(n) for j in range(n) if i != j]
    assert margins(similarity).mean() == pytest.approx(np.trace(similarity) / n - np.mean(others))
    assert np.isnan(margins(np.ones((1, 1)))).all()


def test_pairs_in_a_batch_equal_pairs_one_by_one():
    pairs = [pair(seed=seed) for seed in range(3)]
    source, target = (np.stack(side) for side in zip(*pairs, strict=True))
    similarity = cosines(source, target)
    for measure in (mexa_hits, retrieval_hits, csls, margins):
        batched = measure(similarity)
        for i, (left, right) in enumerate(pairs):
            np.testing.assert_allclose(batched[i], measure(cosines(left, right)))
