"""What goes along with answers that turned: joined from tables, tested with whole items exchanged."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.runs import open_run
from spillover.core.types import Evaluation, LabelScores, ModelRef
from spillover.stages.compare.alignment_changes import alignment_changes
from spillover.stages.compare.flip_analysis import ask, chance_of_more, explain, item_permutation

LANGUAGES, ITEMS = ("aa", "bb", "cc"), 60
IDS = [f"item-{i}" for i in range(ITEMS)]


def joined(effect=0.0, seed=0, items=ITEMS, shared=1.0, languages=LANGUAGES):
    """turned and closer both depend on the item, in all languages; `effect` is what an item that turned moves more."""
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
    return ask(table, draws=200, rng=np.random.default_rng(0)).set_index("turned").loc["right"]


def test_an_item_that_turns_and_moves_is_found():
    row = p_of(joined(effect=1.5))
    assert row["p"] < 0.01
    assert row["effect"] > 0.6
    assert row["share_turned"] > row["share_others"]


def test_false_alarms_are_as_many_as_they_should_be_though_items_move_in_all_languages_at_once():
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
    assert chance_of_more(values, first, ~first) == pytest.approx(expected.statistic / (12 * 28))
    p = item_permutation(values, first, ~first, draws=20_000, rng=rng)
    assert p == pytest.approx(expected.pvalue, abs=0.01)


def test_too_few_that_turned_have_no_test_and_a_reason():
    table = joined()
    table["turned"] = np.where((table["turned"] == "right") & (table["example_id"] > 3), "", table["turned"])
    row = p_of(table)
    assert np.isnan(row["p"])
    assert "too few for a test" in row["reason"]


def evaluation(correct, fingerprint="model"):
    """correct: [languages, items]."""
    scores = {}
    for code, right in zip(("en", *LANGUAGES), np.vstack([correct[:1], correct]), strict=True):
        logprobs = np.where(right[:, None], [[-0.1, -2.0]], [[-2.0, -0.1]]).astype(np.float32)
        tokens = np.ones(ITEMS, dtype=np.int32)
        scores[code] = LabelScores(code, ("yes", "no"), tuple(IDS), np.zeros(ITEMS, dtype=np.int64), logprobs, tokens, np.ones((ITEMS, 2), np.int32))  # fmt: skip
    return Evaluation(ModelRef("m", None, None, fingerprint), "sentiment", "english", fingerprint, scores)


def write_probe(run, name, margins, hits, fingerprint="model", leads=None):
    folder = run.path / "probe" / name
    folder.mkdir(parents=True)
    where = {"language": np.repeat(LANGUAGES, ITEMS), "other": "en", "example_id": np.tile(IDS, 3)}
    tables = []
    for layer in (0, 1):
        own = pd.DataFrame(where).assign(retrieval=hits.ravel() * layer, margin=margins.ravel() * layer)
        tables.append(own.assign(pooling="weighted", layer=layer))
    pd.concat(tables, ignore_index=True).to_parquet(folder / "alignment_items.parquet")
    rows = [
        {
            "language": code,
            "other": "en",
            "pooling": "weighted",
            "layer": layer,
            "measure": "mexa",
            "value": 0.4 * layer,
        }
        for code in LANGUAGES
        for layer in (0, 1)
    ]
    pd.DataFrame(rows).to_parquet(folder / "alignment.parquet")
    if leads is not None:
        table = pd.DataFrame(where).drop(columns="other").assign(leads_at=leads.ravel())
        table.to_parquet(folder / "lens_items.parquet")
    manifest = run.manifest()
    manifest["stages"][f"probe/{name}"] = {"settings": {"task": "sentiment", "model": fingerprint}}
    (run.path / "run.json").write_text(json.dumps(manifest))


@pytest.fixture
def sides(tmp_path):
    """Thirty items turn right in every language; those move closer, and their answer leads two layers earlier."""
    run = open_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    before = np.zeros((3, ITEMS), dtype=bool)
    after = before.copy()
    after[:, :30] = True
    margins, noise = rng.normal(size=(3, ITEMS)), 0.1 * rng.normal(size=(3, ITEMS))
    leads = rng.integers(5, 20, (3, ITEMS)).astype(float)
    write_probe(run, "base", margins, margins > 0, leads=leads)
    write_probe(run, "tuned", margins + noise + after, margins > 0, leads=leads - 2 * after)
    return run, evaluation(before), evaluation(after)


def of(run, before, after):
    return explain(run, ("base", "tuned"), before, after, config=CompareConfig(draws=500), seed=0)


def test_the_joined_table_has_a_row_per_language_and_item(sides):
    why = of(*sides)
    items = why.items
    assert len(items) == 3 * ITEMS
    assert set(items["task"]) == {"sentiment"}
    row = items.set_index(["language", "example_id"]).loc[("bb", "item-3")]
    assert (row["correct_before"], row["correct_after"], row["turned"], row["earlier"]) == (0, 1, "right", 2)
    assert row["closer"] == pytest.approx(row["margin_after"] - row["margin_before"])


def test_the_verdict_claims_what_goes_together_and_no_more(sides):
    why = of(*sides)
    texts = [sentence.text for sentence in why.sentences]
    assert sum("goes together, more often" in text for text in texts) == 2
    assert "Of 90 answers that became right" in texts[0]
    assert "moved closer to their English twin" in texts[0]
    assert "not what causes what" in texts[-1]
    assert not any(word in " ".join(texts) for word in ("because", "explains", "due to"))
    assert why.questions["holm_p"].min() < 0.05


def test_states_of_another_model_are_refused_in_words(sides):
    run, before, after = sides
    other = Evaluation(ModelRef("m", None, None, "other"), "sentiment", "english", "k", after.scores)
    why = of(run, before, other)
    assert [s.text for s in why.sentences] == [
        "Why cannot be asked: probe/tuned looked at another model than evaluate/tuned."
    ]
    assert not len(why.items)


def test_a_run_without_a_probe_has_no_explanation(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    side = evaluation(np.zeros((3, ITEMS), dtype=bool))
    assert of(run, side, side) is None


def test_changes_are_tested_by_item_and_corrected_over_cells(sides):
    run, *_ = sides
    folders = [run.path / "probe" / name for name in ("base", "tuned")]
    found = alignment_changes(*folders, level=0.95, rng=np.random.default_rng(0))
    assert len(found) == 3 * 2 * 2
    margin = found[(found["measure"] == "margin") & (found["layer"] == 1)]
    assert (margin["change"] > 0.4).all()
    assert (margin["bh_q"] < 0.05).all()
    assert (margin["low"] < margin["change"]).all()
    assert (found.loc[found["measure"] == "retrieval", "p"] == 1).all()


def test_changes_of_other_items_are_refused(sides):
    run, *_ = sides
    folders = [run.path / "probe" / name for name in ("base", "tuned")]
    path = folders[1] / "alignment_items.parquet"
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    with pytest.raises(DataError, match="other items, languages or layers"):
        alignment_changes(*folders, level=0.95, rng=np.random.default_rng(0))
