"""Parts hold every text once, within the budget."""

from __future__ import annotations

import pytest

from spillover.core.config import BuildConfig, TrainConfig
from spillover.stages.build import build_pairs
from spillover.stages.train.packing import collate, fill_parts, into_parts, texts_of
from spillover.stages.train.tokenize import tokenize_pairs

CONFIG = TrainConfig(
    epochs=1, batch=4, batch_tokens=250, rank=2, learning_rate=1e-2, validation=0.0, checkpoint_steps=99
)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=14))


def test_parts_hold_the_budget_and_every_text_once():
    lengths = [9, 7, 7, 4, 2, 1]
    assert fill_parts(lengths, 16, packed=True) == [[0, 1], [2, 3, 4, 5]]
    assert fill_parts(lengths, 16, packed=False) == [[0], [1, 2], [3, 4, 5]]
    assert fill_parts([30], 16, packed=True) == [[0]]


def test_more_parts_when_another_process_has_more(tiny, pairs):
    rows = tokenize_pairs(tiny, pairs, CONFIG)[:5]
    parts = list(into_parts(texts_of(collate(rows)), 10_000, packed=True, at_least=4))
    assert len(parts) == 4
    assert sorted(number for part in parts for number in part.numbers) == [0, 1, 2, 3, 4]
