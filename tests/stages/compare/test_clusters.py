"""Items in clusters: intervals, tests, bootstrap, guard and contrasts are those of clusters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.stages.compare.pairing import changes_of, join
from spillover.stages.compare.result import Outcome, Topic
from spillover.stages.compare.stage import compare
from spillover.stats.significance import sign_flip_test
from tests.builders import evaluation
from tests.stages.compare.builders import clustered, own_answers


def lumped_evaluations(n=240, size=6):
    """Every cluster of six items turns as a whole: 40 independent changes, not 240."""
    rng = np.random.default_rng(0)
    turned = np.repeat(rng.random(n // size) < 0.4, size)
    before, after = (dict.fromkeys(("en", "de"), hits) for hits in (np.zeros(n, bool), turned))
    names = np.repeat([f"passage-{i}" for i in range(n // size)], size)
    return evaluation(before), evaluation(after, "k2"), names


def test_intervals_and_tests_are_those_of_clusters():
    before, after, names = lumped_evaluations()
    items = compare(before, after)
    clusters = compare(clustered(before, names), clustered(after, names))
    for table, key in ((items.languages, "n"), (items.groups, "n"), (items.groups, "clusters")):
        assert (table[key] == 240).all()
    assert (clusters.languages["clusters"] == 40).all()
    assert (clusters.groups["clusters"] == 40).all()
    assert (clusters.groups["n"] == 240).all()
    for column in ("accuracy_delta", "gained", "lost"):
        np.testing.assert_allclose(clusters.languages[column], items.languages[column])
    for low, high in (("accuracy_low", "accuracy_high"), ("accuracy_boot_low", "accuracy_boot_high")):
        widths = [(side.languages[high] - side.languages[low]).to_numpy() for side in (clusters, items)]
        assert (widths[0] > 2 * widths[1]).all()
    assert (clusters.languages["mcnemar_p"] > 10 * items.languages["mcnemar_p"]).all()
    assert (clusters.languages["detectable"] > 2 * items.languages["detectable"]).all()
    assert clusters.guard.high - clusters.guard.low > 2 * (items.guard.high - items.guard.low)
    (note,) = [sentence for sentence in clusters.about(Topic.NOTE) if "clusters" in sentence.numbers]
    assert note.text == "Intervals and tests resample 40 clusters, in which the 240 items come, not single items."
    assert not [sentence for sentence in items.about(Topic.NOTE) if "clusters" in sentence.numbers]


def test_a_test_exchanges_whole_clusters():
    before, after, names = lumped_evaluations()
    changes = changes_of(join(clustered(before, names), clustered(after, names)))
    exchanged = changes.exchanged_in_language("en")
    assert len(exchanged) == 40
    assert set(exchanged) == {0.0, 6.0}
    turned = int((exchanged > 0).sum())
    assert sign_flip_test(exchanged)[0] == pytest.approx(min(1, 2 * 0.5**turned))


def test_clusters_of_one_item_each_change_nothing():
    rng = np.random.default_rng(1)
    before, after = own_answers(rng), own_answers(rng, skill=1.5)
    names = np.array([f"c{i}" for i in range(len(before.scores["en"].gold))])
    plain, single = compare(before, after), compare(clustered(before, names), clustered(after, names))
    assert not [sentence for sentence in single.about(Topic.NOTE) if "clusters" in sentence.numbers]
    for name in plain.languages:
        if plain.languages[name].dtype == float:
            np.testing.assert_allclose(plain.languages[name], single.languages[name], err_msg=name)


def test_few_clusters_are_said_to_be_few():
    before, after, _ = lumped_evaluations()
    names = np.repeat(["a", "b", "c", "d"], 60)
    comparison = compare(clustered(before, names), clustered(after, names))
    (note,) = [sentence for sentence in comparison.about(Topic.NOTE) if "clusters" in sentence.numbers]
    assert note.text.endswith("With fewer than 10, they are not to be trusted.")


def test_one_cluster_cannot_be_tested():
    before, after, _ = lumped_evaluations()
    names = np.repeat(["a"], 240)
    comparison = compare(clustered(before, names), clustered(after, names))
    assert comparison.group_change("all", "accuracy").verdict == Outcome.UNDEFINED
    assert (comparison.languages["reason"] == "one cluster has no spread").all()


def test_other_clusters_on_the_other_side_are_refused():
    before, after, names = lumped_evaluations()
    with pytest.raises(DataError, match="the two sides' clusters differ"):
        join(clustered(before, names), clustered(after, names[::-1]))


def test_a_language_with_a_part_of_the_clusters_counts_its_own():
    before, after, names = lumped_evaluations()
    sides = []
    for side in (clustered(before, names), clustered(after, names)):
        own = side.scores["de"]
        part = replace(
            own, example_ids=own.example_ids[:120], gold=own.gold[:120], logprobs=own.logprobs[:120], tokens=own.tokens[:120],
            label_tokens=own.label_tokens[:120], clusters=own.clusters[:120],
        )  # fmt: skip
        sides.append(replace(side, scores={"en": side.scores["en"], "de": part}))
    changes = changes_of(join(*sides, CompareConfig(missing_items="intersection")))
    assert [changes.n_clusters([code]) for code in ("en", "de")] == [40, 20]
    assert len(changes.of_language("accuracy", "de")) == 20
    matrix = changes.contribution_matrix("accuracy", ("en", "de"))
    assert matrix.shape == (40, 2)
    for column, code in enumerate(("en", "de")):
        assert matrix[:, column].mean() == pytest.approx(changes.items_of_language("accuracy", code).mean())


def test_auroc_of_label_words_is_by_cluster_too():
    before, after, names = lumped_evaluations()
    items, clusters = compare(before, after), compare(clustered(before, names), clustered(after, names))
    widths = [side.languages["auroc_high"] - side.languages["auroc_low"] for side in (clusters, items)]
    assert (widths[0] > 1.5 * widths[1]).all()
