from __future__ import annotations

import numpy as np

from spillover.stages.probe.parallel_states import ParallelStates


def test_layers_are_read_one_at_a_time_in_the_order_of_the_languages():
    read = []

    def states_of(pooling, layer):
        read.append((pooling, layer))
        return {"de": np.full((2, 3), 2.0), "en": np.full((2, 3), 1.0)}

    lengths = {"en": np.array([3, 4]), "de": np.array([5, 6])}
    states = ParallelStates(states_of, lengths, ("a", "b"), ("last", "mean"), (0, 2))
    assert list(states) == [("last", 0), ("last", 2), ("mean", 0), ("mean", 2)]
    assert len(states) == 4
    assert read == []
    array = states.array("mean", 2)
    assert read == [("mean", 2)]
    assert array[:, 0, 0].tolist() == [1.0, 2.0]
    assert states.languages == ("en", "de")
    assert states.length_matrix.tolist() == [[3, 4], [5, 6]]
