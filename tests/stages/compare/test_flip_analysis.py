"""What goes along with flipped predictions: joined from tables, tested with whole items permuted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from spillover.core.config import CompareConfig
from spillover.core.runs import open_run
from spillover.core.tables import check_columns
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare_run
from spillover.stages.compare.alignment_changes import CHANGE_COLUMNS
from spillover.stages.compare.flip_analysis import (
    ITEM_COLUMNS,
    LENS_COLUMNS,
    QUESTION_COLUMNS,
    analyse_flips,
    item_permutation_test,
    probability_of_superiority,
    question_table,
)
from spillover.stages.compare.result import Topic
from tests.builders import write_evaluation
from tests.stages.compare.builders import (
    ITEMS,
    LANGUAGES,
    probed_evaluation,
)


def joined(effect=0.0, seed=0, items=ITEMS, shared=1.0, languages=LANGUAGES):
    """turned and closer both depend on the item, in all languages; `effect` is what flipped items move more."""
    rng = np.random.default_rng(seed)
    rows = []
    liable, moved = rng.normal(size=(2, items)) * shared
    for language in languages:
        liability = liable + rng.normal(size=items)
        turned = np.where(liability > 1.2, "right", np.where(liability < -2.0, "wrong", ""))
        closer = moved + rng.normal(size=items) + effect * (turned == "right") + rng.normal()
        rows.append(
            pd.DataFrame({"language": language, "example_id": np.arange(items), "turned": turned, "closer": closer})
        )
    return pd.concat(rows)


def p_of(table):
    return question_table(table, draws=200, rng=np.random.default_rng(0)).set_index("turned").loc["right"]


def test_flipped_items_that_move_are_detected():
    row = p_of(joined(effect=1.5))
    assert row["p"] < 0.01
    assert row["effect"] > 0.6
    assert row["share_turned"] > row["share_others"]


def test_the_size_is_nominal_though_items_move_in_all_languages_at_once():
    p = [p_of(joined(seed=seed, shared=3.0, languages=range(8), items=40))["p"] for seed in range(40)]
    assert np.mean(np.array(p) < 0.05) <= 0.12
    naive = []
    for seed in range(40):
        table = joined(seed=seed, shared=3.0, languages=range(8), items=40)
        groups = [table.loc[table["turned"] == state, "closer"] for state in ("right", "")]
        naive.append(stats.mannwhitneyu(*groups).pvalue)
    assert np.mean(np.array(naive) < 0.05) > 0.2  # what counting rows as if they were items would give


def test_one_language_is_the_mann_whitney_test():
    rng = np.random.default_rng(3)
    values, first = rng.normal(size=(1, 40)), np.arange(40)[None] < 12
    values[first] += 0.5
    expected = stats.mannwhitneyu(values[first], values[~first])
    assert probability_of_superiority(values, first, ~first) == pytest.approx(expected.statistic / (12 * 28))
    p = item_permutation_test(values, first, ~first, draws=20_000, rng=rng)
    assert p == pytest.approx(expected.pvalue, abs=0.01)


def test_too_few_flipped_items_have_no_test_and_a_reason():
    table = joined()
    table["turned"] = np.where((table["turned"] == "right") & (table["example_id"] > 3), "", table["turned"])
    row = p_of(table)
    assert np.isnan(row["p"])
    assert "too few for a test" in row["reason"]


def analysed(run, before, after):
    return analyse_flips(run, ("base", "tuned"), before, after, config=CompareConfig(draws=500), seed=0)


def test_the_joined_table_has_a_row_per_language_and_item(probed_sides):
    analysis = analysed(*probed_sides)
    items = analysis.items
    assert len(items) == 3 * ITEMS
    assert set(items["task"]) == {"sentiment"}
    row = items.set_index(["language", "example_id"]).loc[("es", "item-3")]
    assert (row["correct_before"], row["correct_after"], row["turned"], row["earlier"]) == (0, 1, "right", 2)
    assert row["closer"] == pytest.approx(row["margin_after"] - row["margin_before"])


def test_the_sentences_claim_correlation_and_no_more(probed_sides):
    analysis = analysed(*probed_sides)
    texts = [sentence.text for sentence in analysis.sentences]
    assert sum("associated, more often" in text for text in texts) == 2
    assert "Of 90 newly correct predictions" in texts[0]
    assert "moved closer to their English counterpart" in texts[0]
    assert "do not show what causes what" in texts[-1]
    assert not any(word in " ".join(texts) for word in ("because", "explains", "due to"))
    assert analysis.questions["holm_p"].min() < 0.05


def test_states_of_another_model_are_refused_in_a_sentence(probed_sides):
    run, before, after = probed_sides
    other = Evaluation(ModelRef("m", None, None, "other"), "sentiment", "english", "k", after.scores)
    analysis = analysed(run, before, other)
    assert [s.text for s in analysis.sentences] == [
        "Flips cannot be analysed: probe/tuned is of another model than evaluate/tuned."
    ]
    assert analysis.items is None


def test_a_run_without_a_probe_has_no_flip_analysis(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    side = probed_evaluation(np.zeros((3, ITEMS), dtype=bool))
    assert analysed(run, side, side) is None


def test_the_written_tables_have_their_declared_columns(probed_sides):
    run, *sides = probed_sides
    for name, side in zip(("base", "tuned"), sides, strict=True):
        write_evaluation(run, name, side)
    (comparison,) = compare_run(run, config=CompareConfig(draws=20))
    assert comparison.about(Topic.EXPLANATION)
    for name, columns in (
        ("items", (*ITEM_COLUMNS, *LENS_COLUMNS)), ("questions", QUESTION_COLUMNS), ("alignment_changes", CHANGE_COLUMNS),
    ):  # fmt: skip
        check_columns(pd.read_parquet(run.path / "compare" / f"{name}.parquet"), columns)


def test_without_a_lens_the_items_have_no_layer_of_the_answer(probed_sides):
    run, before, after = probed_sides
    (run.path / "probe" / "tuned" / "lens_items.parquet").unlink()
    analysis = analysed(run, before, after)
    check_columns(analysis.items, ITEM_COLUMNS)
    assert set(analysis.questions["move"]) == {"closer"}


def test_movements_that_differ_by_rounding_tie():
    values = np.array([[0.1 + 0.2, 0.3, 0.6, 0.1 + 0.5]])
    first, second = np.array([[True, False, True, False]]), np.array([[False, True, False, True]])
    assert probability_of_superiority(values, first, second) == pytest.approx(0.5)
    assert item_permutation_test(values, first, second, draws=99, rng=np.random.default_rng(0)) == 1
