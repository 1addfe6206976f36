"""Flipped predictions: which items, with which texts."""

from __future__ import annotations

from spillover.core.types import Evaluation, ModelRef
from spillover.stages.evaluate.score_tables import facts_of, write_scores
from spillover.stages.report.flips import flipped_items, longest_text
from tests.builders import table


def test_tables_without_texts_still_give_their_items(run):
    old = table([[-1, -2], [-2, -1]], [0, 1])
    new = table([[-1, -2], [-1, -2]], [0, 1])
    sides = [
        (run.path / name, Evaluation(ModelRef("m", None, None, name), "sentiment", "english", name, {"en": scores}))
        for name, scores in (("old", old), ("new", new))
    ]
    for folder, side in sides:
        write_scores(folder / "en.parquet", side.scores["en"], facts_of(side))
    flips = flipped_items(*sides)
    assert not flips["has_texts"]
    (row,) = flips["rows"]
    assert (row["language"], row["id"], row["newly_correct"], row["gold"]) == ("en", "i1", False, 1)
    assert (row["before"], row["after"], row["text"]) == ([269, 731], [731, 269], "")


def test_texts_that_are_too_many_are_shortened_to_one_length():
    texts = ["x" * 100] * 10 + ["y" * 10_000] * 5
    assert longest_text(texts, 11_000) == 2_000
    assert longest_text(texts, 60_000) is None
