from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spillover.stages.audit.label_consensus import NO_CONSENSUS, consensus


def test_consensus_leaves_the_language_itself_out():
    given_labels = np.array([[0, 1], [0, 0], [0, 0], [0, 0]], dtype=np.int32)
    settled, unanimous = consensus(given_labels, 2, 0.75)
    assert settled[0].tolist() == [0, 0]
    assert settled[1].tolist() == [0, NO_CONSENSUS], "two against one is not three quarters"
    assert unanimous[0].tolist() == [True, True]


@given(st.lists(st.lists(st.integers(-1, 3), min_size=4, max_size=4), min_size=1, max_size=6), st.floats(0.5, 0.99))
def test_consensus_is_one_of_the_labels_that_the_others_gave(rows, share):
    votes = np.array(rows, dtype=np.int32)
    settled, _ = consensus(votes, 3, share)
    for number in range(len(votes)):
        others = np.delete(votes, number, axis=0)
        for item, label in enumerate(settled[number]):
            assert label == NO_CONSENSUS or label in others[:, item]
