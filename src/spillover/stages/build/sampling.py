"""How many pairs each source language contributes, and the replayed text beside them.

mix         share of a source with n questions
proportional  n: every question counts the same, whatever its language
equal         every source gives as many, so the smallest one decides
temperature   n ** (1 / build.temperature), between the two (as in multilingual pretraining, Conneau et al. 2020)

Replay holds the reference language: its texts as plain language modelling, beside the pairs of every arm alike. A row's
prompt is the text's first word, its completion all the rest, so that the loss is on the text and nothing is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.languages import reference_language
from spillover.core.types import TrainingPair


def quotas(available: Mapping[str, int], config: BuildConfig) -> dict[str, int]:
    """Number of pairs by source language. With `config.pairs`, that many for each source on average; without, as many
    as the mix allows when no question is used twice. ConfigError when a source has fewer than its share, or when there
    are no questions."""
    if not any(available.values()):
        raise ConfigError("build.sources: no questions that source and target share", hint=", ".join(available))
    exponent = {"proportional": 1.0, "equal": 0.0}.get(config.mix, 1 / config.temperature)
    weights = {code: float(n) ** exponent if n else 0.0 for code, n in available.items()}
    whole = sum(weights.values())
    most = min(int(available[code] * whole / weight + 1e-9) for code, weight in weights.items() if weight)
    total = most if config.pairs is None else config.pairs * len(available)
    shares = {code: total * weight / whole for code, weight in weights.items()}
    counts = {code: int(share + 1e-9) for code, share in shares.items()}
    # Largest remainders: what rounding down left; the first language first among equals.
    for code in sorted(shares, key=lambda code: counts[code] - shares[code])[: total - sum(counts.values())]:
        counts[code] += 1
    short = next((code for code in counts if counts[code] > available[code]), None)
    if short:
        raise ConfigError(
            f"build.pairs: {counts[short]} wanted from {short}, which has {available[short]} questions",
            hint=f"--pairs {max(1, most // len(available))} or fewer",
        )
    return counts


def replay(texts: Sequence[tuple[str, str]], pairs: int, share: float, rng: np.random.Generator) -> list[TrainingPair]:
    """Rows of reference-language text, so many that they are `share` of all rows beside `pairs` others; [] for none.

    texts: (id, text). Each is used once, or as evenly as the number allows. DataError when there is none to use."""
    usable = [(text_id, text.strip()) for text_id, text in texts if len(text.split()) > 1]
    wanted = round(pairs * share / (1 - share))
    if not wanted:
        return []
    if not usable:
        raise DataError("build.replay: no text of two words or more", hint="leave build.replay out, or give more text")
    code = reference_language()
    rows = []
    for number, index in enumerate(np.resize(rng.permutation(len(usable)), wanted)):
        text_id, text = usable[int(index)]
        first = len(text.split(maxsplit=1)[0])
        rows.append(TrainingPair(f"{text_id}:{number}:replay", code, code, text[:first], text[first:]))
    return rows
