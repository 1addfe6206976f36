"""What the tests of the steer stage share."""

from __future__ import annotations

import numpy as np

from spillover.models.sentence_states import SentenceStates
from tests.builders import small_data, write_rows

WORDS = ["rain", "bread", "lamp", "river", "chair", "apple", "storm", "paper", "glass", "horse"]


def random_states(seed, n=12, layers=3, hidden=6):
    rng = np.random.default_rng(seed)
    return SentenceStates(rng.normal(size=(n, layers + 1, hidden)).astype(np.float32), rng.integers(2, 9, n))


def steer_data(folder, languages=("en", "de", "es"), *, sentences=10, items=6):
    """Small sentiment data whose training questions are sentences of their own."""
    small_data(folder, languages, items)
    for language in languages:
        rows = [
            {"id": f"text-{i}", "review": f"{WORDS[i % 10]} {i} and {WORDS[(3 * i + 1) % 10]} in {language}"}
            for i in range(sentences)
        ]
        write_rows(folder / "sentiment" / "train" / f"{language}.jsonl", rows)
    return folder
