from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import AuditThresholds
from spillover.core.types import Example
from spillover.stages.audit.exchange_odds import exchange_odds, exchanged_languages
from spillover.stages.audit.inputs import LanguageRows
from spillover.stages.audit.profile import LanguageProfiles
from spillover.tasks.wording import load_task

CODES = ("en", "de", "es", "fr")


def profiles(pairs_by_language, task="nli"):
    """Profiles of languages whose rows are pairs of texts."""
    task = load_task(task)
    languages = LanguageProfiles(task, AuditThresholds(), "en")
    for code, pairs in pairs_by_language.items():
        rows = [Example(str(i), code, dict(zip(task.fields, pair, strict=True)), None) for i, pair in enumerate(pairs)]
        languages.add(LanguageRows(task, code, rows, {}, AuditThresholds()))
    return languages


def long_and_short(codes=CODES, items=60, seed=0):
    """Pairs of a long and a short text; lengths differ a little between languages."""
    rng = np.random.default_rng(seed)
    lengths = np.stack([rng.integers(12, 30, items), rng.integers(3, 9, items)], axis=1)
    return {
        code: [tuple(" ".join([f"{code}word"] * max(1, n + int(rng.integers(-1, 2)))) + f" {i}" for n in pair) for i, pair in enumerate(lengths)]
        for code in codes
    }  # fmt: skip


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8, 1.0])
def test_exchanged_rows_of_one_language_have_odds_above_all_others(share):
    pairs = long_and_short()
    exchanged = set(range(round(share * 60)))
    pairs["de"] = [pair[::-1] if i in exchanged else pair for i, pair in enumerate(pairs["de"])]
    (odds,) = exchange_odds(profiles(pairs))
    assert (odds.language, odds.fields) == ("de", (0, 1))
    assert set(np.flatnonzero(odds.log_odds > 0).tolist()) == exchanged
    assert odds.share == pytest.approx(share, abs=0.05)
    assert (exchanged_languages(profiles(pairs)) == {"de"}) == (share == 1.0)


def test_with_two_languages_the_reference_is_believed():
    pairs = long_and_short(("en", "de"))
    pairs["en"] = [pair[::-1] for pair in pairs["en"]]
    assert [odds.language for odds in exchange_odds(profiles(pairs))] == ["de"]


def test_one_language_or_one_field_has_nothing_to_exchange():
    assert exchange_odds(profiles(long_and_short(("en",)))) == []
    assert exchange_odds(profiles({code: [("a text",)] for code in CODES}, "sentiment")) == []


def test_equal_texts_are_not_exchanged():
    pairs = long_and_short()
    pairs["de"] = [pair[::-1] if i else (pair[0], pair[0]) for i, pair in enumerate(pairs["de"])]
    (odds,) = exchange_odds(profiles(pairs))
    assert odds.log_odds[0] == -np.inf
    assert (odds.log_odds[1:] > 0).all()


def test_names_tell_texts_apart_that_are_equally_long():
    """ "Anna beat Olga" and "Olga beat Anna", in inflected languages too."""
    names = ["Anna", "Olga", "Mary", "Sonja", "Erika"]
    pairs = {code: [] for code in CODES}
    for i in range(20):
        first, second = names[i % 5], names[(i + 1 + i // 5) % 5]
        for code in CODES:
            ending = "k" if code == "es" else ""
            pairs[code].append((f"{first} beat {second}{ending} {i}", f"{second} beat {first}{ending} {i}"))
    pairs["es"] = [pair[::-1] if i < 5 else pair for i, pair in enumerate(pairs["es"])]
    (odds,) = exchange_odds(profiles(pairs))
    assert odds.language == "es"
    assert set(np.argsort(-odds.log_odds)[:5].tolist()) == set(range(5))
