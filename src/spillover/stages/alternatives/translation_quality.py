"""How good translations are: chrF (Popović 2015) as sacrebleu computes it, against the items in the reference language
where these are parallel, and beside it that of the same translations on other items. What is empty, unchanged or cut is
counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.errors import DataError, missing_extra
from spillover.core.languages import reference_language
from spillover.core.types import Example
from spillover.stages.alternatives.result import TRANSLATION_COLUMNS, TranslatedTexts
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.translated_items import answers_kept, item_texts, other_positions

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("task", "row")


def check_sacrebleu() -> None:
    """MissingExtra where sacrebleu is not installed: known before anything is translated."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError as error:
        raise missing_extra(error) or error from None


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """chrF2 of a set of texts against one reference each, over all of them at once; from 0 to 100, higher is better.
    NaN without texts."""
    from sacrebleu.metrics import CHRF

    if not translations:
        return math.nan
    return float(CHRF().corpus_score(list(translations), [list(references)]).score)


def quality_table(
    benchmark: Benchmark, examples: Mapping[str, Sequence[Example]], texts: Mapping[str, TranslatedTexts]
) -> pd.DataFrame:
    """A row per language, with `TRANSLATION_COLUMNS` but for the names of task and row."""
    import pandas as pd

    rows = []
    for code, own in texts.items():
        references, reason = _references(benchmark, examples, own)
        row: dict[str, object] = {"language": code, "items": len(own.texts), "chrf": math.nan, "chrf_others": math.nan}
        if references:
            row |= {"chrf": chrf(_flat(own.translations), references)}
            row |= {"chrf_others": chrf(_of_other_items(own.translations, benchmark.seed), references)}
        rows.append(row | _counts(benchmark, examples[code], own) | {"reason": reason})
    return pd.DataFrame(rows, columns=[column.name for column in TRANSLATION_COLUMNS if column.name not in NAMES])


def _references(
    benchmark: Benchmark, examples: Mapping[str, Sequence[Example]], own: TranslatedTexts
) -> tuple[list[str], str]:
    """(the same texts as they stand in the reference language, why there are none)."""
    reference, name = reference_language(), benchmark.task.name
    if not benchmark.task.parallel:
        return [], f"{name} is not parallel"
    try:
        rows = examples.get(reference) or benchmark.examples([reference], among=list(own.texts))[reference]
    except DataError:
        return [], f"{name} lacks these items in {reference}"
    expected = {row.id: item_texts(benchmark.task, row) for row in rows}
    if any(len(expected[item]) != len(texts) for item, texts in own.texts.items()):
        return [], f"{name} has other answers in {reference}"
    return _flat({item: expected[item] for item in own.texts}), ""


def _flat(texts: Mapping[str, Sequence[str]]) -> list[str]:
    return [text for own in texts.values() for text in own]


def _of_other_items(translations: Mapping[str, Sequence[str]], seed: int) -> list[str]:
    """In the order of `_flat`, the text at the same place of another item in place of each: what any text of the
    reference language gets."""
    places = [place for own in translations.values() for place in range(len(own))]
    flat = _flat(translations)
    exchanged = list(flat)
    for place in dict.fromkeys(places):
        rows = [i for i, other in enumerate(places) if other == place]
        for i, other in zip(rows, other_positions(len(rows), np.random.default_rng(seed)), strict=True):
            exchanged[i] = flat[rows[other]]
    return exchanged


def _counts(benchmark: Benchmark, examples: Sequence[Example], own: TranslatedTexts) -> dict[str, float]:
    pairs = list(zip(_flat(own.texts), _flat(own.translations), strict=True))
    return {
        "texts": len(pairs),
        "empty": sum(not translation for _, translation in pairs),
        "unchanged": sum(text.strip() == translation for text, translation in pairs),
        "cut": own.cut,
        "answers_kept": sum(answers_kept(benchmark.task, row, own.translations[row.id]) for row in examples),
        "tokens": own.tokens,
        "seconds": own.seconds,
    }
