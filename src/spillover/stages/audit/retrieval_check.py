"""Does a sentence encoder put each translation next to its own reference item? The only check that needs a model."""

from __future__ import annotations

from collections.abc import Iterator

from spillover.stages.audit.inputs import Fault, LanguageRows
from spillover.stages.audit.messages import counted
from spillover.stats.similarity import unit
from spillover.tasks.overlap import text_key

BLOCK = 1024  # rows compared at a time


def nearest_items(rows: LanguageRows) -> Iterator[Fault]:
    """Items whose nearest reference item is another one, by at least `encoder_margin` of cosine similarity.

    Sees meaning as far as the encoder knows the language; therefore it is "possible" only. Items that are the same text
    in the reference are one item here. Cannot see small errors, such as a lost "not".
    """
    pairs = list(rows.with_counterparts())
    if rows.encode is None or not pairs:
        return
    vectors = unit(rows.encode(["\n".join(row.fields.values()) for row, _ in pairs]))
    reference = unit(rows.encode(["\n".join(counterpart.fields.values()) for _, counterpart in pairs]))
    texts = [text_key(counterpart) for _, counterpart in pairs]
    nearest = {}
    for start in range(0, len(pairs), BLOCK):
        cosine = vectors[start : start + BLOCK] @ reference.T
        for i, j in enumerate(cosine.argmax(axis=1), start):
            margin = float(cosine[i - start, j] - cosine[i - start, i])
            if margin >= rows.thresholds.encoder_margin and texts[j] != texts[i]:
                nearest[pairs[i][0].id] = pairs[j][0].id
    if nearest:
        yield Fault(
            f"{counted(len(nearest), 'are')} nearer to another item of the reference",
            list(nearest),
            evidence={"nearest": nearest},
            certainty="possible",
            suggestion="compare the rows",
        )
