"""Shares of the source languages, and what is replayed beside them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError
from spillover.stages.build import build_pairs
from spillover.stages.build.pairs import trained_languages
from spillover.stages.build.sampling import quotas, replay
from spillover.tasks.benchmark import open_benchmark
from tests.builders import small_data, write_rows

UNEVEN = {"de": 160, "es": 20, "sw": 5}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """40 questions in English and German, 10 of them in Spanish."""
    root = small_data(tmp_path_factory.mktemp("data"), items=6)
    for code, n in (("en", 40), ("de", 40), ("es", 10)):
        rows = [{"id": f"q{i}", "review": f"question number {i} in {code}"} for i in range(n)]
        write_rows(root / "sentiment" / "train" / f"{code}.jsonl", rows)
    return open_benchmark("sentiment", data=str(root))


def counts(pairs):
    return dict(Counter(pair.source for pair in pairs))


def test_quotas_without_a_number_use_no_question_twice():
    assert quotas(UNEVEN, BuildConfig()) == UNEVEN
    assert quotas(UNEVEN, BuildConfig(mix="equal")) == {"de": 5, "es": 5, "sw": 5}
    warm = quotas(UNEVEN, BuildConfig(mix="temperature", temperature=2))
    shares = np.sqrt([160, 20, 5])
    assert np.allclose(list(warm.values()), 5 * shares / shares[2], atol=1)
    assert quotas(UNEVEN, BuildConfig(mix="temperature", temperature=1)) == UNEVEN


def test_quotas_have_the_given_number_on_average_exactly():
    for mix in ("proportional", "equal", "temperature"):
        found = quotas({"de": 100, "es": 77, "sw": 31}, BuildConfig(mix=mix, pairs=10))
        assert sum(found.values()) == 30
    assert quotas({"de": 100, "es": 50}, BuildConfig(mix="equal", pairs=10)) == {"de": 10, "es": 10}
    assert quotas({"de": 100, "es": 50}, BuildConfig(pairs=10)) == {"de": 13, "es": 7}


def test_a_source_with_too_few_questions_is_named():
    with pytest.raises(ConfigError, match="50 wanted from es, which has 20"):
        quotas(UNEVEN, BuildConfig(mix="equal", pairs=50))
    with pytest.raises(ConfigError, match="no questions that source and target share"):
        quotas({"de": 0}, BuildConfig())


def test_languages_with_different_questions_are_mixed_pairwise(benchmark):
    with pytest.raises(DataError, match="lacks 30 items"):
        build_pairs(benchmark, languages=["de", "es"])
    made = build_pairs(benchmark, languages=["de", "es"], config=BuildConfig(missing_items="pairwise"))
    assert counts(made) == {"de": 40, "es": 10}
    even = BuildConfig(missing_items="pairwise", mix="equal")
    made = build_pairs(benchmark, languages=["de", "es"], config=even)
    assert counts(made) == {"de": 10, "es": 10}


def test_arms_keep_the_mix_and_the_bytes(benchmark):
    config = BuildConfig(missing_items="pairwise", replay=0.25)
    real = build_pairs(benchmark, languages=["de", "es"], config=config)
    again = build_pairs(benchmark, languages=["de", "es"], config=config)
    assert real == again
    for arm in ("shuffled", "copy", "template"):
        other = build_pairs(benchmark, languages=["de", "es"], config=config.model_copy(update={"arm": arm}))
        assert counts(other) == counts(real)
        assert sorted(p.id for p in other if p.id.endswith("replay")) == sorted(
            p.id for p in real if p.id.endswith("replay")
        )
        sizes = [sum(len((p.prompt + p.completion).encode()) for p in pairs) for pairs in (real, other)]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.03)


def test_replay_is_reference_text_and_nothing_is_asked(benchmark):
    config = BuildConfig(missing_items="pairwise", replay=0.2)
    rows = build_pairs(benchmark, languages=["de"], config=config)
    replayed = [pair for pair in rows if pair.id.endswith(":replay")]
    assert len(replayed) == 10 == len(rows) / 5
    assert {(pair.source, pair.target) for pair in replayed} == {("en", "en")}
    assert len({pair.id.partition(":")[0] for pair in replayed}) == 10
    assert all(pair.prompt == "Review:" and pair.completion.startswith(" question number") for pair in replayed)
    assert trained_languages(rows) == ["de"]


def test_replay_of_a_text_file(benchmark, tmp_path):
    text = tmp_path / "news.txt"
    text.write_text("The sun rose early.\n\nRain fell at noon.\nWord\n", encoding="utf-8")
    config = BuildConfig(pairs=4, replay=0.5, replay_text=str(text))
    rows = build_pairs(benchmark, languages=["de"], config=config)
    texts = Counter(pair.prompt + pair.completion for pair in rows if pair.id.endswith(":replay"))
    assert texts == {"The sun rose early.": 2, "Rain fell at noon.": 2}
    with pytest.raises(DataError, match=r"build\.replay: no text of two words"):
        replay([("a", "one")], 4, 0.5, np.random.default_rng(0))


def test_from_english_into_another_language_with_replay(benchmark):
    config = BuildConfig(target="de", replay=0.1, pairs=9)
    rows = build_pairs(benchmark, languages=["en"], config=config)
    assert Counter((pair.source, pair.target) for pair in rows) == {("en", "de"): 9, ("en", "en"): 1}
    assert trained_languages(rows) == ["de"]
