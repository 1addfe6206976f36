"""Rows hold every item once, trees hold every label, and nothing sees what it should not."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.models.batching import Item, even_batches, fill_batches, pack
from spillover.models.fast.segments import WASTE
from spillover.models.label_tokens import label_tree

LABELS = st.lists(st.lists(st.integers(5, 8), min_size=1, max_size=4).map(tuple), min_size=2, max_size=4, unique=True)
CPU = torch.device("cpu")


def items_of(lengths, labels):
    tree = label_tree(labels)
    made = [Item(tuple(range(100, 100 + n)), (), tuple(labels), tree, 7 + n, 7) for n in lengths]
    return sorted(made, key=lambda item: -item.size)


@given(LABELS)
def test_every_label_is_a_path_and_shared_beginnings_are_one(labels):
    tree = label_tree(labels)
    for label, path in zip(labels, tree.paths, strict=True):
        assert path[0] == -1
        assert tuple(tree.tokens[node] for node in path[1:]) == label[:-1]
        for before, node in itertools.pairwise(path):
            assert tree.parents[node] == before
    assert len(tree.tokens) == len({label[:n] for label in labels for n in range(1, len(label))})


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), LABELS)
@settings(max_examples=60)
def test_a_row_holds_each_item_once_and_each_token_sees_its_own_past(lengths, labels):
    items = items_of(lengths, labels)
    row = pack(items, 7, CPU)
    ids, positions = row.ids[0].tolist(), row.positions[0].tolist()
    assert sum(segment.rows for segment in row.segments) == len(items)
    assert row.segments[-1].stop == len(ids)
    for item, end, first in zip(items, row.ends, row.nodes, strict=True):
        body = slice(end + 1 - len(item.body), end + 1)
        assert tuple(ids[body]) == item.body
        assert positions[body] == list(range(7, 7 + len(item.body)))
        for node, token in enumerate(item.tree.tokens):
            assert ids[first + node] == token
            assert positions[first + node] == 7 + len(item.body) + len(item.tree.ancestors(node)) - 1
    padding = len(ids) - sum(item.size for item in items)
    assert padding <= WASTE * len(ids)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), LABELS)
@settings(max_examples=60)
def test_a_label_sees_the_item_and_its_own_branch_alone(lengths, labels):
    items = items_of(lengths, labels)
    row = pack(items, 0, CPU)
    numbers = iter(items)
    for segment in row.segments:
        for place in range(segment.rows):
            item = next(numbers)
            if segment.visible is None:
                assert not item.tree.tokens
                continue
            visible = segment.visible[place, 0]
            length = len(item.body)
            assert torch.equal(visible[:length, :length], torch.ones(length, length, dtype=torch.bool).tril())
            for node in range(len(item.tree.tokens)):
                seen = visible[length + node].nonzero().flatten().tolist()
                assert seen == [*range(length), *sorted(length + other for other in item.tree.ancestors(node))]


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_batches_hold_all_items_within_the_budget_longest_first(sizes, budget):
    batches = list(fill_batches(sizes, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    order = [sizes[i] for batch in batches for i in batch]
    assert order == sorted(order, reverse=True)
    assert all(len(batch) == 1 or sum(sizes[i] for i in batch) <= budget for batch in batches)


@given(st.lists(st.integers(1, 900), max_size=60), st.integers(300, 3000), st.integers(2, 4))
def test_even_batches_hold_all_items_and_none_is_much_more_work_than_another(sizes, budget, at_once):
    batches = list(even_batches(sizes, budget, at_once))
    order = [i for batch in batches for i in batch]
    assert order == sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    tokens = [sum(sizes[i] for i in batch) for batch in batches]
    largest = max(sizes, default=0)
    assert max(tokens, default=0) <= budget + largest
    assert max(tokens, default=0) - min(tokens, default=0) <= 2 * largest


def test_a_little_work_is_not_cut_into_crumbs():
    assert [len(batch) for batch in even_batches([40] * 10, 4096, 4)] == [10]
    assert [len(batch) for batch in even_batches([60] * 10, 4096, 4)] == [5, 5]
    assert [len(batch) for batch in even_batches([500] * 8, 4096, 4)] == [2, 2, 2, 2]
