"""A benchmark: a task, its data, and the languages asked for, opened once and handed to every stage.

1. `open_benchmark` reads the task, finds its files and decides the languages.
2. "all" is every language that has both data and wording; "seen" and "unseen" split it by what was trained on.
   A language that has data and no wording is left out of "all", and one line of the log names it. Named by itself it is
   a mistake. With `wording`, it borrows that language's wording, and the log says so.
3. `examples` and `prompts` give the same items in every language, in the same order: of one fold, where only that is
   scored.
4. `training_questions` are a split of their own, or the test items that are not scored.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Final, Literal

from spillover.core.config import RunConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_files
from spillover.core.languages import reference_language, select_languages
from spillover.core.types import OWN_TEXT, Example, Prompt, Task
from spillover.tasks.examples import DEMO, language_files, load_parallel, read_examples, splits
from spillover.tasks.folds import Fold, fold_of
from spillover.tasks.prompts import answers, render
from spillover.tasks.shots import resolve_shots
from spillover.tasks.translated_items import TranslatedItems
from spillover.tasks.wording import load_task, with_borrowed_wording

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
    wording: the language that lends its wording to those without; None where none does. translated: what the items are
    asked as, in another language's words; None: as they are.
    missing_items, disagreeing_labels: what becomes of items that a language lacks or labels otherwise. left_out: ids of
    items that are not scored, as something was chosen on them. fold: the only part of the items that is scored; None
    for all. questions: where training questions come from, as `build.questions` has it; scored_fold: with unscored, the
    fold whose items are not among them; None where none of the task's items is scored.
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
    wording: str | None = None
    fold: Fold | None = None
    questions: Literal["train", "unscored"] = "train"
    scored_fold: Fold | None = None
    translated: TranslatedItems | None = None

    def borrowed_wording(self, languages: Iterable[str] | None = None) -> dict[str, str]:
        """What each language borrows from which, as in "en (words, shots)", of those that borrow anything. languages:
        all of the benchmark unless given."""
        codes = self.languages if languages is None else languages
        own = {code: self.task.wordings[code].borrowing for code in codes if code in self.task.wordings}
        return {code: text for code, text in own.items() if text}

    def wording_settings(self, languages: Iterable[str] | None = None) -> dict[str, dict[str, str]]:
        """What a stage's settings record of it; nothing where nothing is borrowed: settings of before it hold."""
        borrowed = self.borrowed_wording(languages)
        return {"borrowed_wording": borrowed} if borrowed else {}

    @property
    def text(self) -> str:
        """What an evaluation records of the text of the items: own, or how it was translated."""
        return self.translated.text if self.translated else OWN_TEXT

    def check_wording(self, wording: str | None) -> None:
        """ConfigError when `wording`, as `evaluate.wording` has it, is not what the benchmark was opened with."""
        if wording not in (None, self.wording):
            raise ConfigError(
                f"evaluate.wording: {wording}: the benchmark was opened with {self.wording}",
                hint=f"open_benchmark(..., wording={wording!r})",
            )

    def select(self, wanted: str | Sequence[str], *, seen: Iterable[str] = (), where: str = "") -> tuple[str, ...]:
        """Codes of `wanted` ("all", "seen", "unseen", "zh,de" or a list) among this benchmark's languages.

        seen: the languages that were trained on. where: the option that holds `wanted`, for the message.
        ConfigError names a code that is not among them."""
        where = where or f"languages of {self.data}"
        return _select(self.task, wanted, self.languages, self.without_wording, seen, where)

    def restricted(self, languages: str | Sequence[str], *, where: str = "") -> Benchmark:
        """The same benchmark in fewer languages."""
        return replace(self, languages=self.select(languages, where=where))

    def evaluated_in(self, languages: Collection[str], *, where: str) -> Benchmark:
        """The same benchmark where only `languages` were evaluated: "all" is then all of these, and a language that was
        asked for by its code and is not among them is a ConfigError."""
        available = [code for code in self.files if code in languages]
        return replace(self, languages=_select(self.task, self.asked, available, (), (), where))

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
            wanted=self._is_scored,
            missing_items=self.missing_items,
            disagreeing_labels=self.disagreeing_labels,
        )

    def _is_scored(self, example: Example) -> bool:
        return example.id not in self.left_out and (self.fold is None or self.fold.has(example))

    def training_questions(
        self,
        languages: Sequence[str],
        *,
        missing_items: Literal["refuse", "pairwise"] = "refuse",
        limit: int | None = None,
        seed: int = 0,
    ) -> dict[str, list[Example]]:
        """Training questions by language, no scored item among them; the same in every language unless `missing_items`
        lets each have its own. limit: so many, drawn with `seed`, where they are the same. DataError for a language
        that has none."""
        if missing_items == "refuse":
            split = TRAIN if self.questions == "train" else TEST
            return load_parallel(
                self.data, self.task, split, languages, limit=limit, seed=seed, wanted=self._is_question,
                disagreeing_labels="keep",
            )  # fmt: skip
        files = self.training_files
        absent = next((code for code in languages if code not in files), None)
        if absent:
            raise DataError(
                f"no training questions of {self.task.name} in {absent}", hint=f"{self.data} has {', '.join(files)}"
            )
        return {
            code: [row for row in read_examples(files[code], self.task, code) if self._is_question(row)]
            for code in languages
        }

    def _is_question(self, example: Example) -> bool:
        return self.questions == "train" or not self.may_be_scored(example)

    def may_be_scored(self, example: Example) -> bool:
        """Whether a test item may be scored by the run that trains on this benchmark's questions."""
        if self.questions == "train":
            return True
        return self.scored_fold is not None and self.scored_fold.has(example)

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
        if self.translated:
            return {
                code: self.translated.prompts(self.task, rows, labels=labels, shots=shots)
                for code, rows in examples.items()
            }
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

    def check_rule(self, rule: str) -> None:
        """ConfigError when items of this kind cannot be scored by `rule`, as `evaluate.rule` has it."""
        if rule == "paper" and self.task.kind != "labels":
            raise ConfigError(
                f"evaluate.rule: paper is not defined for {self.task.kind} ({self.task.name}): it looks at the first "
                "token of label words, and these items bring their own answers",
                hint="--rule exact, which scores whole answers",
            )

    def hashes(self, languages: Iterable[str] | None = None) -> dict[str, str]:
        """A hash of the test file of each language, of all unless given."""
        return {code: self._hashes[code] for code in (self.languages if languages is None else languages)}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {code: hash_files([path]) for code, path in self.files.items()}

    @cached_property
    def training_files(self) -> dict[str, Path]:
        """The file of training questions of each language that has one."""
        return language_files(self.data, self.task, TRAIN if self.questions == "train" else TEST)

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
        where = f"{where}: training questions of {self.task.name} in {self.data}"
        return _select(self.task, chosen, worded, unworded, (), where)

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
    wording: str | None = None,
    fold: str | None = None,
) -> Benchmark:
    """The benchmark of a task. task: bundled name or folder. data: "demo" or a folder. languages: "all", codes or
    "zh,de". where: the option that holds the languages, for the message of a ConfigError. required_split: DataError
    when the data has no files of it; without test files, the benchmark has no languages. wording: the language whose
    wording stands around the text of languages without their own (`evaluate.wording`). fold: the only part of the items
    that is scored, as in 1/2."""
    opened = load_task(task)
    files = language_files(data, opened, TEST)
    if required_split and not (files if required_split == TEST else language_files(data, opened, required_split)):
        raise DataError(
            f"{data}: no {opened.name}/{required_split}/<language>.jsonl here",
            hint="`--data demo`, or another --task",
        )
    if wording is not None:
        codes = [*files, *language_files(data, opened, TRAIN)]
        opened = with_borrowed_wording(opened, wording, codes, where="evaluate.wording")
    if not files:
        return Benchmark(task, opened, data, (), languages, {}, wording=wording)
    worded = {code: path for code, path in files.items() if opened.kind == "pairs" or code in opened.wordings}
    without = tuple(code for code in files if code not in worded)
    if without and worded and (languages == "all" or "all" in languages):
        log.info("%s: left out, as the task has no wording for them: %s", opened.name, ", ".join(without))
    chosen = _select(opened, languages, worded, without, (), where or f"languages of {data}")
    benchmark = Benchmark(
        task, opened, data, chosen, languages, worded, without, limit, seed, missing_items, disagreeing_labels,
        wording=wording, fold=fold_of(fold) if fold else None,
    )  # fmt: skip
    borrowed = benchmark.borrowed_wording()
    for lent in dict.fromkeys(borrowed.values()):
        borrowers = ", ".join(code for code in borrowed if borrowed[code] == lent)
        _log_once(f"{opened.name}: wording of {lent} around the text of {borrowers}")
    return benchmark


@cache
def _log_once(message: str) -> None:
    # A run opens a task for its evaluation and for its training questions.
    log.info("%s", message)


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
        wording=config.evaluate.wording,
        fold=config.fold,
    )


def training_benchmark(config: RunConfig) -> Benchmark:
    """The benchmark whose training questions become pairs, that of `config.build.task`. Where ready-made pairs are read
    (`config.build.files`), it needs no questions. ConfigError where its test items are asked for and all are scored."""
    build = config.build
    if build.questions == "unscored" and not build.files:
        fold = fold_of(config.fold) if config.fold else None
        scored = {load_task(task).name: fold for task in config.tasks}
        benchmark = open_benchmark(build.task, data=config.data, wording=config.evaluate.wording)
        return with_unscored_questions(benchmark, scored, where="build.questions")
    split: Literal["train"] | None = None if build.files else TRAIN
    return open_benchmark(build.task, data=config.data, required_split=split, wording=config.evaluate.wording)


def with_unscored_questions(benchmark: Benchmark, scored: Mapping[str, Fold | None], *, where: str) -> Benchmark:
    """The benchmark with its test items that are not scored as training questions. scored: the fold of each scored
    task, by its name; None for all of it. where: the option that asks for it. ConfigError where all are scored."""
    name = benchmark.task.name
    if name in scored and scored[name] is None:
        raise ConfigError(
            f"{where}: unscored: every item of {name} is scored",
            hint="fold: 1/2 scores one half of the items, and leaves the questions of the other",
        )
    return replace(benchmark, questions="unscored", scored_fold=scored.get(name))


def _select(
    task: Task,
    wanted: str | Sequence[str],
    available: Iterable[str],
    without_wording: Sequence[str],
    seen: Iterable[str],
    where: str,
) -> tuple[str, ...]:
    words = wanted.replace(",", " ").split() if isinstance(wanted, str) else list(wanted)
    available = list(available)
    if unworded := [code for code in words if code in without_wording] if available else list(without_wording):
        lender = reference_language() if reference_language() in task.wordings else next(iter(task.wordings))
        raise ConfigError(
            f"{where}: the task has no wording for {', '.join(unworded)}",
            hint=f"--wording {lender} (evaluate.wording) puts that language's wording around their text; or write "
            f"{unworded[0]}.yaml beside the task's other wordings, or leave them out",
        )
    return select_languages(words, available, seen=seen, where=where)
