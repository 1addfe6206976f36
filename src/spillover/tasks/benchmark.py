"""A benchmark: a task, its data, and the languages asked for, opened once and handed to every stage.

1. `open_benchmark` reads the task, finds its files and decides the languages.
2. "all" is every language that has both data and wording; "seen" and "unseen" split it by what was trained on.
   A language that has data and no wording is left out of "all", and one line of the log names it. Named by itself it is
   a mistake.
3. `examples` and `prompts` give the same items in every language, in the same order.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from spillover.core.config import RunConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_files
from spillover.core.languages import select_languages
from spillover.core.types import Example, Prompt, Task
from spillover.tasks.examples import DEMO, language_files, load_parallel, splits
from spillover.tasks.prompts import answers, render
from spillover.tasks.shots import resolve_shots
from spillover.tasks.wording import load_task

log = logging.getLogger(__name__)

TEST: Final = "test"
TRAIN: Final = "train"


@dataclass(frozen=True)
class Benchmark:
    """One task and its data in some languages. Make it with `open_benchmark`.

    source: the task as it was asked for, a bundled name or a folder. languages: those asked for, in the order of
    `files`; asked: in the words they were asked for. files: the test file of each language that has wording.
    without_wording: languages that have a test file and no wording. limit: items per language, None for all, drawn with
    `seed`.
    missing_items, disagreeing_labels: what becomes of items that a language lacks or labels otherwise. left_out: ids of
    items that are not scored, as something was chosen on them.
    """

    source: str
    task: Task
    data: str
    languages: tuple[str, ...]
    asked: str | Sequence[str]
    files: Mapping[str, Path]
    without_wording: tuple[str, ...] = ()
    limit: int | None = None
    seed: int = 0
    missing_items: Literal["refuse", "intersection"] = "refuse"
    disagreeing_labels: Literal["refuse", "keep"] = "refuse"
    left_out: frozenset[str] = frozenset()

    def select(self, wanted: str | Sequence[str], *, seen: Iterable[str] = (), where: str = "") -> tuple[str, ...]:
        """Codes of `wanted` ("all", "seen", "unseen", "zh,de" or a list) among this benchmark's languages.

        seen: the languages that were trained on. where: the option that holds `wanted`, for the message.
        ConfigError names a code that is not among them."""
        return _select(wanted, self.languages, self.without_wording, seen, where or f"languages of {self.data}")

    def restricted(self, languages: str | Sequence[str], *, where: str = "") -> Benchmark:
        """The same benchmark in fewer languages."""
        return replace(self, languages=self.select(languages, where=where))

    def evaluated_in(self, languages: Collection[str], *, where: str) -> Benchmark:
        """The same benchmark where only `languages` were evaluated: "all" is then all of these, and a language that was
        asked for by its code and is not among them is a ConfigError."""
        available = [code for code in self.files if code in languages]
        return replace(self, languages=_select(self.asked, available, (), (), where))

    def examples(
        self,
        languages: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        among: Collection[str] | None = None,
    ) -> dict[str, list[Example]]:
        """The same test items in every language, in the same order.

        languages: of this benchmark, all unless given. limit: in place of the benchmark's own; drawn once for all
        languages, balanced over the labels. among: only items with these ids. DataError as `load_parallel`."""
        return load_parallel(
            self.data,
            self.task,
            TEST,
            self.languages if languages is None else languages,
            limit=self.limit if limit is None else limit,
            seed=self.seed,
            among=among,
            without=self.left_out,
            missing_items=self.missing_items,
            disagreeing_labels=self.disagreeing_labels,
        )

    def prompts(
        self,
        labels: str,
        shots: str,
        languages: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        among: Collection[str] | None = None,
    ) -> dict[str, list[Prompt]]:
        """The same items as prompts, by language. labels: a label set. shots: as `evaluate.shots` has them."""
        examples, shots = self.examples(languages, limit=limit, among=among), self.resolved_shots(shots)
        return {code: render(self.task, rows, label_set=labels, shots=shots) for code, rows in examples.items()}

    def resolved_shots(self, shots: str) -> str:
        """`evaluate.shots` with a language for each shot, by this benchmark's seed. ConfigError as `resolve_shots`."""
        return resolve_shots(self.task, shots, self.seed)

    def check_labels(self, labels: str) -> None:
        """ConfigError when a language has no words for this label set: found before a model is loaded. Items that bring
        their own answers need none."""
        if self.task.kind != "labels":
            return
        for code in self.languages:
            answers(self.task, labels, code)

    def hashes(self, languages: Iterable[str] | None = None) -> dict[str, str]:
        """A hash of the test file of each language, of all unless given."""
        return {code: self._hashes[code] for code in (self.languages if languages is None else languages)}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {code: hash_files([path]) for code, path in self.files.items()}

    @cached_property
    def training_files(self) -> dict[str, Path]:
        """The file of training questions of each language that has one."""
        return language_files(self.data, self.task, TRAIN)

    def select_training(
        self, wanted: str | Sequence[str], *, without: str | None = None, where: str = ""
    ) -> tuple[str, ...]:
        """Codes of `wanted` among the languages that have training questions and wording. without: the language that
        "all" leaves out. where: the option that holds `wanted`, for the message of a ConfigError."""
        if self.task.kind == "pairs":
            raise ConfigError(
                f"{where}: not defined for pairs: they have no question that could be translated",
                hint="take the training questions of another task",
            )
        worded = [code for code in self.training_files if code in self.task.wordings]
        unworded = [code for code in self.training_files if code not in worded]
        chosen = [code for code in worded if code != without] if wanted == "all" else wanted
        return _select(chosen, worded, unworded, (), f"{where}: training questions of {self.task.name} in {self.data}")

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the data folder has of the task."""
        return tuple(splits(self.data, self.task))


def open_benchmark(
    task: str,
    *,
    data: str = DEMO,
    languages: str | Sequence[str] = "all",
    limit: int | None = None,
    seed: int = 0,
    missing_items: Literal["refuse", "intersection"] = "refuse",
    disagreeing_labels: Literal["refuse", "keep"] = "refuse",
    where: str = "",
    required_split: Literal["test", "train"] | None = TEST,
) -> Benchmark:
    """The benchmark of a task. task: bundled name or folder. data: "demo" or a folder. languages: "all", codes or
    "zh,de". where: the option that holds the languages, for the message of a ConfigError. required_split: DataError
    when the data has no files of it; without test files, the benchmark has no languages."""
    wording = load_task(task)
    files = language_files(data, wording, TEST)
    if required_split and not (files if required_split == TEST else language_files(data, wording, required_split)):
        raise DataError(
            f"{data}: no {wording.name}/{required_split}/<language>.jsonl here",
            hint="`--data demo`, or another --task",
        )
    if not files:
        return Benchmark(task, wording, data, (), languages, {})
    worded = {code: path for code, path in files.items() if wording.kind == "pairs" or code in wording.wordings}
    without = tuple(code for code in files if code not in worded)
    if without and (languages == "all" or "all" in languages):
        log.info("%s: left out, as the task has no wording for them: %s", wording.name, ", ".join(without))
    chosen = _select(languages, worded, without, (), where or f"languages of {data}")
    return Benchmark(
        task, wording, data, chosen, languages, worded, without, limit, seed, missing_items, disagreeing_labels
    )  # fmt: skip


def benchmark_of(config: RunConfig, task: str | None = None) -> Benchmark:
    """The benchmark of one of a config's tasks, the only one unless given, with the config's data, languages, limit and
    seed, and what `config.evaluate` says of missing items and disagreeing labels. ConfigError where none is given and
    the config has several: none is left out without a word."""
    if task is None and len(config.tasks) > 1:
        raise ConfigError(
            f"tasks: {', '.join(config.tasks)}: one task at a time here",
            hint="--task, or `spillover run` for all of them",
        )
    return open_benchmark(
        task or config.tasks[0],
        data=config.data,
        languages=config.languages,
        limit=config.limit,
        seed=config.seed,
        missing_items=config.evaluate.missing_items,
        disagreeing_labels=config.evaluate.disagreeing_labels,
    )


def training_benchmark(config: RunConfig) -> Benchmark:
    """The benchmark whose training questions become pairs, that of `config.build.task`. Where ready-made pairs are read
    (`config.build.files`), it needs no questions."""
    split: Literal["train"] | None = None if config.build.files else TRAIN
    return open_benchmark(config.build.task, data=config.data, required_split=split)


def _select(
    wanted: str | Sequence[str],
    available: Iterable[str],
    without_wording: Sequence[str],
    seen: Iterable[str],
    where: str,
) -> tuple[str, ...]:
    words = wanted.replace(",", " ").split() if isinstance(wanted, str) else list(wanted)
    unworded = [code for code in words if code in without_wording]
    if unworded:
        raise ConfigError(
            f"{where}: the task has no wording for {', '.join(unworded)}",
            hint=f"write {unworded[0]}.yaml beside the task's other wordings, or leave the language out",
        )
    return select_languages(words, available, seen=seen, where=where)
