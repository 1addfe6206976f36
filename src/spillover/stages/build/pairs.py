"""Parallel questions → question-translation pairs: the question in a source language, then in the target.

1. Load the training questions of all languages, aligned by id.
2. Refuse (or drop) those that are test items too, on either side.
3. Draw, render both sides with the code that renders the evaluation prompts, and add the instruction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_files, hash_of, read_jsonl, read_text, write_jsonl
from spillover.core.languages import language, reference_language, select_languages
from spillover.core.runs import Run
from spillover.core.types import Example, Task, TrainingPair
from spillover.stages.build.arms import FROM_PAIRS, apply_arm, labelled, matched_by_source, size
from spillover.stages.build.formats import exchange_files, read_exchange
from spillover.stages.build.sampling import quotas, replay
from spillover.tasks.examples import language_files, load_parallel, read_examples
from spillover.tasks.overlap import overlapping
from spillover.tasks.prompts import question
from spillover.tasks.wording import load_task

INSTRUCTION = "\nTranslate the input from {source} to {target}:\n"


def build_pairs(
    task: str, *, languages: str | Sequence[str], data: str = "demo", seed: int = 0, config: BuildConfig | None = None
) -> list[TrainingPair]:
    """Shuffled pairs from `languages` into the target (the reference language unless set), the same items for each.

    DataError lists training questions that are test items, unless `config.overlap` is "drop".
    """
    config = config or BuildConfig()
    rng = np.random.default_rng(seed)
    if config.files:
        pairs = _mixed([pair for path in config.files for pair in read_exchange(Path(path))], config, rng)
    else:
        pairs = _translate(load_task(task), languages, data, config, rng)
    if config.arm in FROM_PAIRS:
        pairs = apply_arm(config.arm, pairs, rng)
    else:
        pairs = _from_questions(task, pairs, data, config, rng)
    if config.replay:
        # Drawn apart from the arm: every arm of a seed has the same rows.
        texts = _replay_texts(task, data, config)
        pairs = [*pairs, *replay(texts, len(pairs), config.replay, np.random.default_rng([seed, 1]))]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _mixed(pairs: Sequence[TrainingPair], config: BuildConfig, rng: np.random.Generator) -> list[TrainingPair]:
    """Ready-made pairs in the shares of the mix: the first ones of each source in its files, all of them when the mix
    takes all."""
    found = Counter(pair.source for pair in pairs)
    left = quotas(found, config)
    kept = []
    for pair in pairs:
        if left[pair.source]:
            left[pair.source] -= 1
            kept.append(pair)
    return kept


def _replay_texts(task: str, data: str, config: BuildConfig) -> list[tuple[str, str]]:
    """(id, text) in the reference language: lines of a file, or the task's training questions."""
    if config.replay_text:
        path = Path(config.replay_text)
        return [(f"{path.stem}-{i:06}", line) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    wording, code = load_task(task), reference_language()
    files = language_files(data, wording, "train")
    if code not in files:
        raise ConfigError(
            f"build.replay: {data} has no training questions in {code}", hint="--set build.replay_text=FILE"
        )
    rows = {code: read_examples(files[code], wording, code)}
    tests = language_files(data, wording, "test")
    held = {code: read_examples(tests[code], wording, code)} if code in tests else {}
    rows = _without_test_items(wording, rows, held, config.overlap)
    return [(row.id, question(wording, row)) for row in rows[code]]


def _from_questions(
    task: str, pairs: Sequence[TrainingPair], data: str, config: BuildConfig, rng: np.random.Generator
) -> list[TrainingPair]:
    """The arms that need more than the real pairs: off-domain and labelled."""
    _check_arm(config)
    if config.arm == "off-domain":
        sources = list(dict.fromkeys(pair.source for pair in pairs))
        wide = config.model_copy(update={"pairs": None})
        made = _translate(load_task(config.off_domain or ""), sources, data, wide, rng)
        return matched_by_source(made, pairs, rng)
    target = config.target or reference_language()
    wording = load_task(task)
    questions = load_parallel(data, wording, "train", [target])
    used = {pair.id.rpartition(":")[0] for pair in pairs}
    return labelled(wording, [row for row in questions[target] if row.id in used], pairs, rng)


def _check_arm(config: BuildConfig) -> None:
    if config.arm == "off-domain" and config.off_domain in (None, config.task):
        raise ConfigError(
            f"build.off_domain: {config.off_domain}: the off-domain arm needs another task than build.task",
            hint=f"--set build.off_domain=TASK, a task beside {config.task} that has training questions",
        )
    if config.files and config.arm not in FROM_PAIRS:
        raise ConfigError(f"build.arm: {config.arm} cannot be made of build.files", hint=", ".join(FROM_PAIRS))


def _translate(
    task: Task, languages: str | Sequence[str], data: str, config: BuildConfig, rng: np.random.Generator
) -> list[TrainingPair]:
    target = config.target or reference_language()
    sources = _sources(
        languages, target, language_files(data, task, "train"), f"training questions of {task.name} in {data}"
    )
    questions = _questions(data, task, sources, target, config)
    tests = {
        code: read_examples(path, task, code)
        for code, path in language_files(data, task, "test").items()
        if code in questions
    }
    questions = _without_test_items(task, questions, tests, config.overlap)
    by_id = {code: {row.id: row for row in rows} for code, rows in questions.items()}
    shared = {code: [row.id for row in questions[target] if row.id in by_id[code]] for code in sources}
    counts = quotas({code: len(ids) for code, ids in shared.items()}, config)
    # One order for all sources: what they have in common is drawn in common.
    ids = [row.id for row in questions[target]]
    order = [ids[i] for i in rng.permutation(len(ids))]
    pairs = []
    for code in sources:
        chosen = [item for item in order if item in by_id[code]][: counts[code]]
        pairs += [translation_pair(task, by_id[code][item], by_id[target][item]) for item in chosen]
    return pairs


def _questions(
    data: str, task: Task, sources: Sequence[str], target: str, config: BuildConfig
) -> dict[str, list[Example]]:
    """Training questions by language, the same in all of them unless `config.missing_items` lets each have its own."""
    if config.missing_items == "refuse":
        return load_parallel(data, task, "train", [*sources, target])
    files = language_files(data, task, "train")
    if target not in files:
        raise DataError(f"no training questions of {task.name} in {target}", hint=f"{data} has {', '.join(files)}")
    return {code: read_examples(files[code], task, code) for code in [*sources, target]}


def source_languages(config: BuildConfig, files: Iterable[str], *, where: str) -> tuple[str, ...]:
    """The languages that `config.sources` means, given those that have training questions. ConfigError names others."""
    return _sources(config.sources, config.target or reference_language(), files, where)


def _sources(wanted: str | Sequence[str], target: str, files: Iterable[str], where: str) -> tuple[str, ...]:
    available = list(files)
    if wanted == "all":
        wanted = [code for code in available if code != target]
    sources = select_languages(wanted, available, where=where)
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


def _without_test_items(
    task: Task, questions: dict[str, list[Example]], tests: Mapping[str, Sequence[Example]], rule: str
) -> dict[str, list[Example]]:
    found = {
        question_id: f"{code} {question_id} = {item_id}"
        for code, rows in questions.items()
        for question_id, item_id in overlapping(rows, tests.get(code, ()))
    }
    if found and rule == "refuse":
        rows = list(found.values())
        more = f" and {len(rows) - 20} more" if len(rows) > 20 else ""
        raise DataError(
            f"{len(rows)} training questions of {task.name} are test items: {', '.join(rows[:20])}{more}",
            hint="--overlap drop leaves them out",
        )
    return {code: [row for row in rows if row.id not in found] for code, rows in questions.items()}


def write_pairs(path: Path, pairs: Sequence[TrainingPair]) -> None:
    """Write pairs as JSON lines."""
    write_jsonl(path, map(asdict, pairs))


def read_pairs(path: Path) -> list[TrainingPair]:
    """Pairs from JSON lines. DataError with file:line for a row that is none."""
    pairs = []
    keys = set(TrainingPair.__dataclass_fields__)
    for line, row in read_jsonl(path):
        if set(row) != keys or not all(isinstance(value, str) and value for value in row.values()):
            raise DataError(f"{path}:{line}: not a training pair", hint=f"each row has {', '.join(sorted(keys))}")
        pairs.append(TrainingPair(**row))
    return pairs


def trained_languages(pairs: Iterable[TrainingPair]) -> list[str]:
    """Codes of the languages that pairs teach, sorted: both sides but the reference language, which the model knows."""
    return sorted({code for pair in pairs for code in (pair.source, pair.target)} - {reference_language()})


def build(run: Run, config: BuildConfig, *, data: str, seed: int) -> list[TrainingPair]:
    """The build stage: `<run>/build/pairs.jsonl`, made once."""
    path = run.path / "build" / "pairs.jsonl"
    _check_arm(config)
    if config.files:
        inputs = hash_files(path for file in config.files for path in exchange_files(Path(file)))
    else:
        files = language_files(data, load_task(config.task), "train")
        source_languages(config, files, where=f"training questions of {config.task} in {data}")
        inputs = hash_files(files.values())
    settings = config.model_dump() | {"data": inputs, "seed": seed}
    if not config.files:
        settings["wording"] = load_task(config.task).fingerprint
    if config.off_domain:
        other = load_task(config.off_domain)
        settings |= {"off_domain_wording": other.fingerprint}
        settings |= {"off_domain_data": hash_files(language_files(data, other, "train").values())}
    if config.replay_text:
        settings["replay_texts"] = hash_of(read_text(Path(config.replay_text)))
    with run.stage("build", settings) as stage:
        if stage.finished and path.exists():
            return read_pairs(path)
        pairs = build_pairs(config.task, languages=config.sources, data=data, seed=seed, config=config)
        write_pairs(path, pairs)
        stage.facts |= {"pairs": len(pairs), "languages": trained_languages(pairs)}
        stage.facts |= {"arm": config.arm, "bytes": sum(map(size, pairs))}
        stage.facts["by_direction"] = dict(sorted(Counter(f"{pair.source}-{pair.target}" for pair in pairs).items()))
    return pairs
