"""Pairs on disk."""

from __future__ import annotations

import pytest

from spillover.core.errors import DataError
from spillover.stages.build import build_pairs
from spillover.stages.build.pairs import read_pairs, write_pairs
from tests.builders import write_rows


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_pairs(tmp_path / name, build_pairs("sentiment", languages=["es", "de"], seed=seed))
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other
    assert read_pairs(tmp_path / "a") == build_pairs("sentiment", languages=["es", "de"], seed=1)


def test_a_row_that_is_no_pair_is_named(tmp_path):
    path = write_rows(tmp_path / "pairs.jsonl", [{"id": "a"}])
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: not a training pair"):
        read_pairs(path)
