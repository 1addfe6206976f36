"""The columns of the lens's tables, apart from the code that makes them: what only reads tables loads no torch."""

from __future__ import annotations

from spillover.core.tables import Column
from spillover.stages.probe.columns import EXAMPLE_ID, ITEMS, LANGUAGE, LAYER, REASON, SHARE, with_interval


def _probability(name: str, description: str) -> tuple[Column, ...]:
    return with_interval(Column(name, description, range=SHARE))


LENS_COLUMNS = (
    LANGUAGE,
    Column("words", "target set", range="reference, native, romanised, asked"),
    LAYER,
    *_probability("answer", "probability of the first tokens of the gold label's word"),
    *_probability("wrong", "probability of the first tokens of all other labels' words together"),
    *_probability("random", "null: expected probability of as many random tokens as `answer` counts"),
    *_probability("answer_sequence", "probability of the whole gold word, each token predicted by this layer"),
    *_probability("wrong_sequence", "probability of all other labels' whole words together"),
    *_probability("random_sequence", "null: probability of a random word with as many tokens"),
    Column("random_share", "share of `answer` that `random` explains", range=SHARE),
    Column("answer_clears", "whether the interval of `answer` lies above that of `random`"),
    Column("random_sequence_share", "share of `answer_sequence` that `random_sequence` explains", range=SHARE),
    Column("answer_sequence_clears", "whether the interval of `answer_sequence` lies above that of `random_sequence`"),
    *with_interval(Column("rank", "median rank of the gold word's first token; 1 is the top", range="1 up")),
    Column("tokens", "mean number of tokens of the gold word", unit="tokens", range="1 up"),
    Column("shared_tokens", "first tokens left out, since more than one word begins with them", unit="tokens"),
    ITEMS,
    REASON,
)
LAYER_COLUMNS = (
    LANGUAGE,
    LAYER,
    *with_interval(Column("entropy", "entropy of the layer's next-token distribution", unit="bits", range="0 up")),
    *with_interval(Column("energy", "root mean square cosine with the unembedding, over its rows' own", range="0 up")),
    ITEMS,
)
ITEM_COLUMNS = (
    LANGUAGE,
    EXAMPLE_ID,
    Column("gold", "gold label"),
    Column("answer", "label whose word is most probable at the last layer"),
    Column("leads_first", "first layer at which that label is the most probable", range="0 up"),
    Column("leads_at", "layer from which on it stays the most probable", range="0 up"),
)
