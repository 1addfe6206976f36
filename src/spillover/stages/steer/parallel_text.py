"""Parallel sentences: the training questions of a task, without those that are scored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spillover.core.config import SteerConfig
from spillover.core.errors import DataError
from spillover.core.files import hash_of
from spillover.core.languages import reference_language
from spillover.core.types import Example, Task
from spillover.tasks.benchmark import TRAIN, Benchmark, open_benchmark, with_unscored_questions
from spillover.tasks.examples import read_examples
from spillover.tasks.overlap import overlapping

log = logging.getLogger(__name__)

LISTED = 20
LEAST_SENTENCES = 2


@dataclass(frozen=True)
class ParallelText:
    """The same sentences in every language, in the same order; the reference language is the first."""

    reference: str
    sentences: Mapping[str, Sequence[str]]

    @property
    def fingerprint(self) -> str:
        """A hash of every sentence."""
        return hash_of({code: list(texts) for code, texts in self.sentences.items()})


def text_benchmark(config: SteerConfig, scored: Sequence[Benchmark]) -> Benchmark:
    """The benchmark whose training questions are the parallel text: `config.text`, in the data of the scored ones.
    ConfigError where its unscored items are asked for and there are none."""
    if config.questions == "train":
        return open_benchmark(config.text, data=scored[0].data, required_split=TRAIN)
    folds = {benchmark.task.name: benchmark.fold for benchmark in scored}
    return with_unscored_questions(open_benchmark(config.text, data=scored[0].data), folds, where="steer.questions")


def read_parallel_text(text: Benchmark, scored: Sequence[Benchmark], config: SteerConfig, seed: int) -> ParallelText:
    """The sentences of `config.languages` and of the reference language. scored: the benchmarks whose items must not be
    among them.

    ConfigError for a language without sentences. DataError lists sentences that are scored items, unless
    `config.overlap` is "drop", and where fewer than two are left.
    """
    reference = reference_language()
    codes = text.select_training(config.languages, without=reference, where="steer.languages")
    codes = (reference, *(code for code in codes if code != reference))
    rows = text.training_questions(codes, limit=config.sentences, seed=seed)
    sentences = {code: [as_sentence(text.task, row) for row in own] for code, own in rows.items()}
    overlap: dict[str, str] = {}
    for benchmark in scored:
        overlap |= _scored_items(sentences, text, benchmark)
    if overlap and config.overlap == "refuse":
        listed = list(overlap.values())[:LISTED]
        more = f" and {len(overlap) - LISTED} more" if len(overlap) > LISTED else ""
        raise DataError(
            f"{len(overlap)} sentences of the parallel text are scored items: {', '.join(listed)}{more}",
            hint="--overlap drop leaves them out",
        )
    kept = {code: [row.fields["text"] for row in own if row.id not in overlap] for code, own in sentences.items()}
    if len(kept[reference]) < LEAST_SENTENCES:
        raise DataError(
            f"{text.data}: {len(kept[reference])} parallel sentences of {text.task.name} are left",
            hint="give more training questions, in all languages",
        )
    return ParallelText(reference, kept)


def as_sentence(task: Task, example: Example) -> Example:
    """The item as one text: its fields, without those that hold codes."""
    text = " ".join(example.fields[name] for name in task.text_fields)
    return Example(example.id, example.language, {"text": text})


def _scored_items(sentences: Mapping[str, Sequence[Example]], text: Benchmark, benchmark: Benchmark) -> dict[str, str]:
    """Which sentences of `text` are test items of the benchmark, by id, in words."""
    task, overlap = benchmark.task, {}
    for code, rows in sentences.items():
        tests = read_examples(benchmark.files[code], task, code) if code in benchmark.files else []
        if task.name == text.task.name:
            tests = [test for test in tests if text.may_be_scored(test)]
        for sentence, item in overlapping(rows, [as_sentence(task, test) for test in tests]):
            overlap[sentence] = f"{code} {sentence} = {item} of {task.name}"
    return overlap
