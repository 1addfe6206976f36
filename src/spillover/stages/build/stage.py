"""Parallel questions → question-translation pairs: the question in a source language, then in the target.

1. Load the training questions of all languages, aligned by id, without those that are test items (questions.py).
2. Draw them in the shares of `build.mix` (sampling.py), and render both sides with the code that renders the evaluation
   prompts, with the instruction between them. Or read ready-made pairs (formats.py).
3. Make the arm from the real pairs (arms.py), and add replayed text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError
from spillover.core.files import hash_files, hash_of, read_text
from spillover.core.languages import language, reference_language
from spillover.core.runs import Run
from spillover.core.types import Example, Task, TrainingPair
from spillover.stages.build.arms import FROM_PAIRS, apply_arm, labelled, matched_by_source, size
from spillover.stages.build.formats import exchange_files, read_exchange
from spillover.stages.build.pairs import read_pairs, trained_languages, write_pairs
from spillover.stages.build.questions import replay_texts, training_questions
from spillover.stages.build.sampling import quotas, replay
from spillover.tasks.benchmark import TRAIN, Benchmark, open_benchmark
from spillover.tasks.prompts import question

INSTRUCTION = "\nTranslate the input from {source} to {target}:\n"


def build_pairs(
    benchmark: Benchmark | str,
    *,
    languages: str | Sequence[str] | None = None,
    seed: int = 0,
    config: BuildConfig | None = None,
) -> list[TrainingPair]:
    """Shuffled pairs from `languages` into the target (the reference language unless set), the same items for each.

    benchmark: as `open_benchmark` gives it, or a task's name for its demo data. languages: in place of
    `config.sources`. DataError lists training questions that are test items, unless `config.overlap` is "drop".
    """
    config = config or BuildConfig()
    if isinstance(benchmark, str):
        benchmark = open_benchmark(benchmark, required_split=None if config.files else TRAIN)
    if languages is not None:
        config = config.model_copy(update={"sources": languages})
    _check_arm(benchmark, config)
    rng = np.random.default_rng(seed)
    if config.files:
        pairs = _in_mix([pair for path in config.files for pair in read_exchange(Path(path))], config)
    else:
        pairs = _translations(benchmark, source_languages(benchmark, config), config, rng)
    if config.arm in FROM_PAIRS:
        pairs = apply_arm(config.arm, pairs, rng)
    else:
        pairs = _arm_from_questions(benchmark, pairs, config, rng)
    if config.replay:
        # A generator of its own: every arm of a seed has the same rows.
        texts = replay_texts(benchmark, config)
        pairs = [*pairs, *replay(texts, len(pairs), config.replay, np.random.default_rng([seed, 1]))]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def build_run(run: Run, benchmark: Benchmark, config: BuildConfig, *, seed: int = 0) -> list[TrainingPair]:
    """The build stage of a run: the pairs of `<run>/build/pairs.jsonl`, made once."""
    path = run.path / "build" / "pairs.jsonl"
    _check_arm(benchmark, config)
    if not config.files:
        source_languages(benchmark, config)
    with run.stage("build", _settings(benchmark, config, seed)) as stage:
        if stage.finished and path.exists():
            return read_pairs(path)
        pairs = build_pairs(benchmark, seed=seed, config=config)
        write_pairs(path, pairs)
        stage.facts |= {"pairs": len(pairs), "languages": trained_languages(pairs)}
        stage.facts |= {"arm": config.arm, "bytes": sum(map(size, pairs))}
        if not config.files:
            stage.facts |= benchmark.wording_settings(used_languages(benchmark, config))
        stage.facts["by_direction"] = dict(sorted(Counter(f"{pair.source}-{pair.target}" for pair in pairs).items()))
    return pairs


def _settings(benchmark: Benchmark, config: BuildConfig, seed: int) -> dict[str, Any]:
    """Everything that decides what the pairs are."""
    settings = config.model_dump() | {"task": benchmark.source, "seed": seed}
    if benchmark.scored_fold:
        settings["scored_fold"] = str(benchmark.scored_fold)
    if config.files:
        settings["data"] = hash_files(path for file in config.files for path in exchange_files(Path(file)))
    else:
        settings["data"] = hash_files(benchmark.training_files.values())
        settings["wording"] = benchmark.task.fingerprint
        settings |= benchmark.wording_settings(used_languages(benchmark, config))
    if config.off_domain:
        other = _off_domain(benchmark, config)
        settings["off_domain_wording"] = other.task.fingerprint
        settings["off_domain_data"] = hash_files(other.training_files.values())
        if borrowed := other.borrowed_wording(other.training_files):
            settings["off_domain_borrowed_wording"] = borrowed
    if config.replay_text:
        settings["replay_texts"] = hash_of(read_text(Path(config.replay_text)))
    return settings


def used_languages(benchmark: Benchmark, config: BuildConfig) -> tuple[str, ...]:
    """The source languages and the target."""
    return (*source_languages(benchmark, config), config.target or reference_language())


def source_languages(benchmark: Benchmark, config: BuildConfig) -> tuple[str, ...]:
    """The codes that `config.sources` means among the languages with training questions; "all" leaves out the target.
    ConfigError for a language without questions, and for the target itself."""
    target = config.target or reference_language()
    sources = benchmark.select_training(config.sources, without=target, where="build.sources")
    if target in sources:
        raise ConfigError(f"build.sources: {target!r} is the target too", hint="leave it out of --source")
    return sources


def translation_pair(task: Task, source: Example, target: Example) -> TrainingPair:
    """The pair of one item: both sides up to where the answer would stand, and no answer."""
    names = {"source": language(source.language).name, "target": language(target.language).name}
    return TrainingPair(
        id=f"{source.id}:{source.language}-{target.language}",
        source=source.language,
        target=target.language,
        prompt=question(task, source) + INSTRUCTION.format(**names),
        completion=question(task, target),
    )


def _translations(
    benchmark: Benchmark, sources: Sequence[str], config: BuildConfig, rng: np.random.Generator
) -> list[TrainingPair]:
    target = config.target or reference_language()
    questions = training_questions(benchmark, [*sources, target], config)
    by_id = {code: {row.id: row for row in rows} for code, rows in questions.items()}
    ids = [row.id for row in questions[target]]
    counts = quotas({code: sum(item in by_id[code] for item in ids) for code in sources}, config)
    # One order for all sources: what they have in common is drawn in common.
    order = [ids[i] for i in rng.permutation(len(ids))]
    pairs = []
    for code in sources:
        drawn = [item for item in order if item in by_id[code]][: counts[code]]
        pairs += [translation_pair(benchmark.task, by_id[code][item], by_id[target][item]) for item in drawn]
    return pairs


def _in_mix(pairs: Sequence[TrainingPair], config: BuildConfig) -> list[TrainingPair]:
    """Ready-made pairs in the shares of the mix: the first ones of each source in its files, all of them when the mix
    takes all."""
    remaining = quotas(Counter(pair.source for pair in pairs), config)
    kept = []
    for pair in pairs:
        if remaining[pair.source]:
            remaining[pair.source] -= 1
            kept.append(pair)
    return kept


def _arm_from_questions(
    benchmark: Benchmark, pairs: Sequence[TrainingPair], config: BuildConfig, rng: np.random.Generator
) -> list[TrainingPair]:
    """The arms that need more than the real pairs: off-domain and labelled."""
    if config.arm == "off-domain":
        sources = list(dict.fromkeys(pair.source for pair in pairs))
        every_question = config.model_copy(update={"pairs": None})
        return matched_by_source(
            _translations(_off_domain(benchmark, config), sources, every_question, rng), pairs, rng
        )
    target = config.target or reference_language()
    questions = benchmark.training_questions([target])[target]
    used_ids = {pair.id.rpartition(":")[0] for pair in pairs}
    return labelled(benchmark.task, [row for row in questions if row.id in used_ids], pairs, rng)


def _off_domain(benchmark: Benchmark, config: BuildConfig) -> Benchmark:
    return open_benchmark(
        config.off_domain or "", data=benchmark.data, required_split=TRAIN, wording=benchmark.wording
    )  # fmt: skip


def _check_arm(benchmark: Benchmark, config: BuildConfig) -> None:
    if config.arm == "off-domain" and config.off_domain in (None, benchmark.source):
        raise ConfigError(
            f"build.off_domain: {config.off_domain}: the off-domain arm needs another task than build.task",
            hint=f"--set build.off_domain=TASK, a task other than {benchmark.source} that has training questions",
        )
    if config.files and config.arm not in FROM_PAIRS:
        raise ConfigError(f"build.arm: {config.arm} cannot be made of build.files", hint=", ".join(FROM_PAIRS))
