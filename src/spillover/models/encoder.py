"""Any sentence-transformers model the user names, for the audit's one check that needs a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import ModelError, first_line
from spillover.core.types import Encode


def load_encoder(name: str) -> Encode:
    """A function from texts to [n, width] float32 vectors. MissingExtra without sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    try:
        encoder = SentenceTransformer(name)
    except (OSError, ValueError) as error:
        hint = "a sentence-transformers model, or a folder"
        raise ModelError(f"encoder {name!r}: {first_line(error)}", hint=hint) from None

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(encoder.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    return encode
