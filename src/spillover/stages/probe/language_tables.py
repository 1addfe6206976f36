"""What saved states say of the languages they are in: four tables in `<run>/probe/<model>`.

alignment.parquet, alignment_items.parquet   how closely each language lies to the reference language
identity.parquet                             how well a layer tells languages apart
neurons.parquet                              MLP neurons that fire for one language alone

Each number stands beside its nulls, the same items in an untrained model among them, whose states are made once for a
run and kept in `<run>/probe/random-weights`.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.config import ProbeConfig
from spillover.core.errors import DataError
from spillover.core.languages import reference_language
from spillover.core.tables import write_table
from spillover.core.types import Progress, no_progress
from spillover.stages.probe.alignment_tables import alignment_tables
from spillover.stages.probe.language_identity import identity_table
from spillover.stages.probe.neurons import firing_by_group, neurons_table, no_neurons
from spillover.stages.probe.state_store import SavedStates

if TYPE_CHECKING:
    import pandas as pd

# MEXA's two: the token that answers, and the mean that weighs late tokens more.
LANGUAGE_POOLINGS = ("last", "weighted")
RANDOM_WEIGHTS = "random-weights"


def write_language_tables(
    folder: Path,
    saved: SavedStates,
    random_weights: SavedStates | None,
    *,
    config: ProbeConfig,
    seed: int,
    neurons_unsupported: str = "",
    progress: Progress = no_progress,
) -> dict[str, str]:
    """Write the four tables, and return by name why one is left out: too few items or languages. Each is left out for
    its own reason alone. The same seed gives the same shuffles for every model, so that before and after share them.

    neurons_unsupported: why the model's neurons cannot be read, or ""."""
    lengths = {code: np.asarray(tokens) for code, tokens in saved.extra("own_tokens").items()}

    def alignment() -> None:
        table, items = alignment_tables(
            saved.read,
            lengths=lengths,
            example_ids=saved.example_ids,
            pairs=pairs_of(saved, config.pairs),
            poolings=LANGUAGE_POOLINGS,
            layers=saved.layers,
            rng=np.random.default_rng(seed),
            draws=config.draws,
            random_weights=random_weights.read if random_weights else None,
            progress=progress,
        )
        write_table(folder / "alignment_items.parquet", items)
        write_table(folder / "alignment.parquet", table)

    def identity() -> None:
        table = identity_table(
            saved.array,
            lengths=np.stack([lengths[code] for code in saved.languages]),
            languages=saved.languages,
            poolings=LANGUAGE_POOLINGS,
            layers=saved.layers,
            rng=np.random.default_rng(seed),
            random_weights=random_weights.array if random_weights else None,
            progress=progress,
        )
        write_table(folder / "identity.parquet", table)

    def neurons() -> None:
        write_table(folder / "neurons.parquet", _neurons(saved, neurons_unsupported, seed))

    left_out: dict[str, str] = {}
    for write in (alignment, identity, neurons):
        try:
            write()
        except DataError as error:
            left_out[write.__name__] = error.message
    return left_out


def pairs_of(saved: SavedStates, pairs: str) -> list[tuple[str, str]]:
    """(language, the one it is held against): all against the reference language, or every two once. DataError when
    there is no such pair."""
    reference = reference_language()
    language_pairs = [
        (code, reference) for code in saved.languages if code != reference and reference in saved.languages
    ]
    if pairs == "all":
        language_pairs += [(b, a) for a, b in combinations(saved.languages, 2) if reference not in (a, b)]
    if not language_pairs:
        raise DataError(
            f"alignment needs {reference} and another language, there is {', '.join(saved.languages)}",
            hint=f"--lang {reference},...",
        )
    return language_pairs


def _neurons(saved: SavedStates, reason: str, seed: int) -> pd.DataFrame:
    if reason:
        return no_neurons(saved.languages, len(saved.layers) - 1, reason)
    lengths = saved.extra("own_tokens")
    # One language's items at a time: all of them would be as large as the states themselves.
    sums = [firing_by_group(saved.extra_of(code, "active"), lengths[code]) for code in saved.languages]
    counts, tokens = (np.stack(totals) for totals in zip(*sums, strict=True))
    return neurons_table(counts, tokens, saved.languages, rng=np.random.default_rng(seed))
