"""LAPE against its authors' code, and on neurons whose language is known."""

from __future__ import annotations

import numpy as np
import torch

from spillover.core.tables import check_columns
from spillover.stages.probe.neurons import (
    NEURON_COLUMNS,
    entropies,
    firing_by_group,
    neurons_table,
    no_neurons,
    specific,
    thresholds,
)

LANGUAGES, GROUPS, LAYERS, NEURONS = 4, 10, 3, 200


def authors(shares):
    """Tang et al. 2024, identify.py, on [layers, neurons, languages]: top 1 % by entropy, 95 % filter, 95 % bar."""
    probs = torch.from_numpy(shares).permute(1, 2, 0)
    normed = probs / probs.sum(dim=-1, keepdim=True)
    normed[torch.isnan(normed)] = 0
    logs = torch.where(normed > 0, normed.log(), 0)
    entropy = -torch.sum(normed * logs, dim=-1)
    flat = probs.flatten()
    bar = flat.kthvalue(round(len(flat) * 0.95)).values.item()
    entropy[(probs > bar).sum(dim=-1) == 0] = torch.inf
    flat_entropy = entropy.flatten()
    _, index = flat_entropy.topk(round(len(flat_entropy) * 0.01), largest=False)
    chosen = torch.zeros(flat_entropy.shape, dtype=torch.bool)
    chosen[index] = True
    return (chosen.reshape(entropy.shape)[..., None] & (probs > bar)).permute(2, 0, 1).numpy()


def counts(planted=6, seed=0):
    """Every neuron fires with the same probability in all languages; `planted` ones of layer 2 in language 1 only."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(300, 500, (LANGUAGES, GROUPS)).astype(float)
    share = np.tile(rng.uniform(0.05, 0.5, (1, LAYERS, NEURONS)), (LANGUAGES, 1, 1))
    share[:, 1, :planted] = 0.02
    share[1, 1, :planted] = 0.9
    return rng.binomial(tokens[:, :, None, None].astype(int), share[:, None]).astype(float), tokens


def test_specific_neurons_are_those_of_the_authors_code():
    shares = np.random.default_rng(0).beta(0.3, 2, (LANGUAGES, LAYERS, NEURONS))
    np.testing.assert_array_equal(specific(shares, thresholds(shares)), authors(shares))


def test_entropy_is_0_in_one_language_and_largest_where_all_are_alike():
    shares = np.array([[0.4, 0.2, 0.0], [0.0, 0.2, 0.0]])
    np.testing.assert_allclose(entropies(shares), [0, np.log(2), 0])


def test_planted_neurons_are_counted_and_clear_the_null():
    table = neurons_table(*counts(), ["aa", "bb", "cc", "dd"], rng=np.random.default_rng(0))
    rows = table.set_index(["language", "layer"])
    assert rows.loc[("bb", 2), "count"] == 6
    assert rows.loc[("bb", 2), "clears"]
    assert rows.loc[("bb", 2), "permuted_share"] < 0.2
    assert table["count"].sum() == 2 * 6  # its language's, and those of all languages together
    assert rows.loc[("", 2), "count"] == 6


def test_without_specific_neurons_the_lowest_percent_does_not_clear_the_null():
    clears = [
        neurons_table(*counts(planted=0, seed=seed), ["aa", "bb", "cc", "dd"], rng=np.random.default_rng(seed))[
            "clears"
        ]
        for seed in range(8)
    ]
    assert np.mean(clears) < 0.1


def test_groups_add_up_and_a_model_without_neurons_has_nan_and_a_reason():
    items = np.random.default_rng(0).integers(0, 9, (13, LAYERS, NEURONS)).astype(np.uint16)
    sums, tokens = firing_by_group(items, np.full(13, 9))
    assert sums.sum(axis=0).tolist() == items.sum(axis=0, dtype=int).tolist()
    assert tokens.sum() == 13 * 9
    table = no_neurons(["aa", "bb"], 3, "its blocks share one activation function")
    assert len(table) == 3 * 3
    assert table["count"].isna().all()


def test_the_table_has_the_declared_columns_also_where_neurons_cannot_be_counted():
    check_columns(neurons_table(*counts(), list("abcd"), rng=np.random.default_rng(0)), NEURON_COLUMNS)
    check_columns(no_neurons(["aa"], 3, "unsupported"), NEURON_COLUMNS)
