"""What saved states say about the languages they are in: four tables in `<run>/probe/<model>`.

alignment.parquet, alignment_items.parquet   how close each language's states are to the reference language's
identity.parquet                             how well a layer's states identify their language
neurons.parquet                              MLP neurons that fire in one language only

Each number stands beside its nulls. One is the same items in a randomly initialised model, whose states are computed
once for a run and kept in `<run>/probe/random-weights`.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from spillover.core.config import ProbeConfig
from spillover.core.errors import DataError
from spillover.core.languages import reference_language
from spillover.core.tables import write_table
from spillover.core.types import Progress, no_progress
from spillover.stages.probe.alignment_tables import ALIGNMENT_COLUMNS, ITEM_COLUMNS, alignment_tables
from spillover.stages.probe.language_identity import IDENTITY_COLUMNS, identity_table
from spillover.stages.probe.neurons import NEURON_COLUMNS, firing_by_group, neurons_table, no_neurons
from spillover.stages.probe.state_store import SavedStates

if TYPE_CHECKING:
    import pandas as pd

# Those of MEXA: the token that predicts the answer, and the mean with position weights.
LANGUAGE_POOLINGS = ("last", "weighted")
RANDOM_WEIGHTS = "random-weights"


def write_language_tables(
    folder: Path,
    saved: SavedStates,
    random_weights: SavedStates | None,
    *,
    config: ProbeConfig,
    seed: int,
    neurons_unsupported: str | None = None,
    progress: Progress = no_progress,
) -> dict[str, str]:
    """Write the four tables, and return by name the reason why one is missing: too few items or languages. Each is
    missing for its own reason only. The same seed gives every model the same permutations, so that before and after
    share them.

    neurons_unsupported: why the model's neurons cannot be counted; None when they can."""
    states = saved.parallel(LANGUAGE_POOLINGS)
    untrained = random_weights.read if random_weights else None

    def alignment() -> None:
        table, items = alignment_tables(
            states,
            language_pairs(saved.languages, config.pairs),
            rng=np.random.default_rng(seed),
            random_weights=untrained,
            draws=config.draws,
            progress=progress,
        )
        write_table(folder / "alignment_items.parquet", items, ITEM_COLUMNS)
        write_table(folder / "alignment.parquet", table, ALIGNMENT_COLUMNS)

    def identity() -> None:
        rng = np.random.default_rng(seed)
        table = identity_table(states, rng=rng, random_weights=untrained, progress=progress)
        write_table(folder / "identity.parquet", table, IDENTITY_COLUMNS)

    def neurons() -> None:
        write_table(folder / "neurons.parquet", _neurons(saved, neurons_unsupported, seed), NEURON_COLUMNS)

    missing: dict[str, str] = {}
    for write in (alignment, identity, neurons):
        try:
            write()
        except DataError as error:
            missing[write.__name__] = error.message
    return missing


def language_pairs(languages: tuple[str, ...], pairs: Literal["reference", "all"]) -> list[tuple[str, str]]:
    """(language, the one it is compared with): each with the reference language, or every two once. DataError when
    there is no such pair."""
    reference = reference_language()
    chosen = [(code, reference) for code in languages if code != reference and reference in languages]
    if pairs == "all":
        chosen += [(b, a) for a, b in combinations(languages, 2) if reference not in (a, b)]
    if not chosen:
        raise DataError(
            f"alignment needs {reference} and another language, there is {', '.join(languages)}",
            hint=f"--lang {reference},...",
        )
    return chosen


def _neurons(saved: SavedStates, unsupported: str | None, seed: int) -> pd.DataFrame:
    if unsupported is not None:
        return no_neurons(saved.languages, len(saved.layers) - 1, unsupported)
    lengths = saved.extra("own_tokens")
    # One language at a time: the counts of all items would be as large as the states themselves.
    sums = [firing_by_group(saved.extra_of(code, "active"), lengths[code]) for code in saved.languages]
    counts, tokens = (np.stack(totals) for totals in zip(*sums, strict=True))
    return neurons_table(counts, tokens, saved.languages, rng=np.random.default_rng(seed))
