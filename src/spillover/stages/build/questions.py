"""The training questions of a benchmark, without those that are test items too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_text
from spillover.core.languages import reference_language
from spillover.core.types import Example
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.examples import read_examples
from spillover.tasks.overlap import overlapping
from spillover.tasks.prompts import question

LISTED = 20


def training_questions(benchmark: Benchmark, languages: Sequence[str], config: BuildConfig) -> dict[str, list[Example]]:
    """Training questions by language, the same in all of them unless `config.missing_items` lets each have its own.

    DataError for a language that has none, and for questions that are test items, unless `config.overlap` is "drop".
    """
    questions = benchmark.training_questions(languages, missing_items=config.missing_items)
    return _without_test_items(benchmark, questions, config)


def replay_texts(benchmark: Benchmark, config: BuildConfig) -> list[tuple[str, str]]:
    """(id, text) in the reference language: lines of `config.replay_text`, or the benchmark's training questions."""
    if config.replay_text:
        path = Path(config.replay_text)
        return [(f"{path.stem}-{i:06}", line) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    code = reference_language()
    if code not in benchmark.training_files:
        raise ConfigError(
            f"build.replay: {benchmark.data} has no training questions in {code}", hint="--set build.replay_text=FILE"
        )
    questions = _without_test_items(benchmark, benchmark.training_questions([code]), config)
    return [(row.id, question(benchmark.task, row)) for row in questions[code]]


def _without_test_items(
    benchmark: Benchmark, questions: Mapping[str, Sequence[Example]], config: BuildConfig
) -> dict[str, list[Example]]:
    task, overlaps = benchmark.task, {}
    for code, rows in questions.items():
        tests = read_examples(benchmark.files[code], task, code) if code in benchmark.files else []
        tests = [row for row in tests if benchmark.may_be_scored(row)]
        for question_id, item_id in overlapping(rows, tests):
            overlaps[question_id] = f"{code} {question_id} = {item_id}"
    if overlaps and config.overlap == "refuse":
        listed = list(overlaps.values())[:LISTED]
        more = f" and {len(overlaps) - LISTED} more" if len(overlaps) > LISTED else ""
        raise DataError(
            f"{len(overlaps)} training questions of {task.name} are test items: {', '.join(listed)}{more}",
            hint="--overlap drop leaves them out",
        )
    return {code: [row for row in rows if row.id not in overlaps] for code, rows in questions.items()}
