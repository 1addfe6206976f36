"""Rows whose two fields are exchanged with each other: named, and exchanged back where that is certain."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spillover.stages.audit.exchange_odds import exchange_odds
from spillover.stages.audit.inputs import Fault
from spillover.stages.audit.messages import counted
from spillover.stages.audit.parallelism import shifted_item_numbers, unordered_languages
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.row_repairs import ExchangeFields

CERTAIN_ODDS = 1e4  # from which a row is exchanged back


def exchanged_fields(languages: LanguageProfiles) -> Iterator[Fault]:
    """Rows of which two fields are exchanged with each other: premise and hypothesis, one choice and the next.

    Sees it, row by row, from lengths, punctuation and texts that recur, beside the other languages; in tasks of two
    fields also from numbers, and names in Latin letters. A row is named where the odds are at least `exchange_odds`.
    Passes over what `shifted-items` and `unordered-items` explain. Cannot see it where the fields are alike: of
    paraphrases few, unless the whole file is exchanged. With two languages the reference is believed.
    """
    ids, fields = languages.item_ids(), languages.task.fields
    shifted, unordered = shifted_item_numbers(languages), unordered_languages(languages)
    for odds in exchange_odds(languages):
        named = odds.log_odds >= np.log(languages.thresholds.exchange_odds)
        named[list(shifted.get(odds.language, ()))] = False
        if odds.language in unordered or not named.any():
            continue
        nats = {ids[i]: round(float(odds.log_odds[i]), 1) for i in np.flatnonzero(named)}
        certain = frozenset(ids[i] for i in np.flatnonzero(named & (odds.log_odds >= np.log(CERTAIN_ODDS))))
        first, second = (fields[number] for number in odds.fields)
        yield Fault(
            f"{counted(len(nats), 'have')} {first} and {second} exchanged",
            list(nats),
            odds.language,
            evidence={"found by": "lengths, marks, repeated texts, numbers and names", "nats": nats},
            certainty="certain" if len(certain) == len(nats) else "likely",
            suggestion="`--fix` exchanges those that are certain" if certain else "compare the rows with the reference",
            repair=ExchangeFields(certain, first, second) if certain else None,
        )


def exchanged_item_numbers(languages: LanguageProfiles) -> dict[str, set[int]]:
    """Numbers of the items whose odds of exchanged fields are at least `exchange_odds`, by language."""
    least = np.log(languages.thresholds.exchange_odds)
    items: dict[str, set[int]] = {}
    for odds in exchange_odds(languages):
        items.setdefault(odds.language, set()).update(np.flatnonzero(odds.log_odds >= least).tolist())
    return items
