"""Questions of one's own in one language → training questions in more, which `build` reads.

1. Read the questions, and ask the translator whether it knows the languages: what it costs is known before it begins.
2. Translate batch by batch; check each text (row_checks.py), ask once more for what is bad, and leave out by name what
   stays bad. Every batch is on disk before the next one (batches.py).
3. Write a file for each language, also of those that were translated before, a record of where they came from, and the
   audit's findings (output.py).

What `<out>/translate` holds: run.json (settings, versions, dates), `<task>/<language>.jsonl` (batches),
`<task>/record.json` and `<task>/findings.json`. The questions are in `<out>/<task>/train`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from spillover.core.config import AuditThresholds, TranslateConfig
from spillover.core.durations import duration
from spillover.core.errors import ConfigError, ModelError
from spillover.core.files import hash_of
from spillover.core.languages import language, reference_language
from spillover.core.runs import Run, open_run
from spillover.core.types import Example, Language, Progress, Task, no_progress
from spillover.models.translators import IncompleteTranslation, Translator, open_translator
from spillover.stages.audit.inputs import Identify
from spillover.stages.audit.language_checks import identifiers
from spillover.stages.translate.batches import TranslatedRow, append_batch, read_batches
from spillover.stages.translate.output import check_folder, questions_hash, write_output
from spillover.stages.translate.row_checks import THRESHOLDS, RowChecks
from spillover.stages.translate.translated_questions import TranslatedQuestions, TranslationPlan
from spillover.tasks.examples import SUFFIXES, read_examples
from spillover.tasks.shots import shot_sentences
from spillover.tasks.translated_items import item_texts
from spillover.tasks.wording import load_task

log = logging.getLogger(__name__)

FOLDER = "translate"
# Settings of a translator that change how fast it is, or are in what it reads and in its fingerprint.
NOT_SETTINGS = {"batch", "timeout", "device", "examples", "shots"}
CHOICE = "choice"


@dataclass(frozen=True)
class Translation:
    """One translation, opened: all that is known before anything is translated."""

    task: Task
    path: Path
    questions: Sequence[Example]
    source: Language
    targets: Sequence[Language]
    translator: Translator
    config: TranslateConfig
    thresholds: AuditThresholds
    run: Run

    def plan(self) -> TranslationPlan:
        """What will be asked of the translator. ModelError for a language that it does not know, RunError where the
        folder holds these languages made with other settings."""
        for target in self.targets:
            if self.begun(target):
                self.run.check_settings(self.stage_name(target), self.settings(target))
        texts = [text for row in self.questions for text in texts_of(self.task, row).values()]
        return TranslationPlan(
            translator=self.translator.name,
            rows=len(self.questions),
            texts=len(texts),
            characters=sum(map(len, texts)),
            done={target.code: len(self.done(target)) for target in self.targets},
            prompts={target.code: self.translator.prompt(self.source, target) for target in self.targets},
        )

    def stage_name(self, target: Language) -> str:
        """The name of a language's translation in the manifest."""
        return f"{self.task.name}/{target.code}"

    def batches(self, target: Language) -> Path:
        """The file of a language's batches."""
        return self.run.path / self.task.name / f"{target.code}.jsonl"

    def begun(self, target: Language) -> bool:
        """Whether a batch is on disk; before that, other settings may take the place of these."""
        return self.batches(target).exists()

    def done(self, target: Language) -> list[TranslatedRow]:
        """The rows that are translated already."""
        return read_batches(self.batches(target), [row.id for row in self.questions])

    def settings(self, target: Language) -> dict[str, Any]:
        """Everything that decides what a language's translations are."""
        return {
            "questions": questions_hash(self.questions),
            "task": self.task.fingerprint,
            "source": self.source.code,
            "translator": self.translator.fingerprint,
            "prompt": hash_of(self.translator.prompt(self.source, target)),
            "config": self.config.translator.model_dump(exclude=NOT_SETTINGS),
            "checks": self.thresholds.model_dump(include=THRESHOLDS)
            | {"shortest": self.config.shortest, "longest": self.config.longest},
            "identifier": find_spec("lingua") is not None,
        }


def translate_questions(
    questions: Path | str,
    languages: str | Sequence[str],
    *,
    out: Path | str,
    config: TranslateConfig | None = None,
    translator: Translator | None = None,
    thresholds: AuditThresholds | None = None,
    progress: Progress = no_progress,
) -> TranslatedQuestions:
    """Translate a file of questions, and write `<out>/<task>/train/<language>.jsonl` for the source and each target.

    questions: rows with an id and the task's fields, in any format of a data folder. languages: the targets, as in
    "de,sw". translator: in place of that of `config.translator`. Again with the same arguments: resumes, and gives the
    same bytes. Errors as `open_translation` and `run_translation`.
    """
    codes = languages.replace(",", " ").split() if isinstance(languages, str) else list(languages)
    config = (config or TranslateConfig()).model_copy(update={"targets": codes})
    opened = open_translation(
        questions, out=out, config=config, translator=translator, thresholds=thresholds, progress=progress
    )
    return run_translation(opened, progress=progress)


def open_translation(
    questions: Path | str,
    *,
    out: Path | str,
    config: TranslateConfig,
    translator: Translator | None = None,
    thresholds: AuditThresholds | None = None,
    progress: Progress = no_progress,
) -> Translation:
    """The translation that `run_translation` runs; nothing is written or translated yet, the translator is loaded.

    ConfigError for languages that make no sense, DataError for questions that cannot be read, RunError for a folder
    that holds something else, and whatever `open_translator` raises.
    """
    path, out = Path(questions), Path(out)
    source, targets = _languages(config)
    task = load_task(config.task)
    if task.kind == "pairs":
        raise ConfigError(
            f"translate.task: {task.name}: pairs have no question that could be translated", hint="another --task"
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: not a file of questions", hint=f"one of {', '.join(SUFFIXES)}")
    rows = read_examples(path, task, source.code)
    run = open_run(out / FOLDER)
    check_folder(run, out, task, [source, *targets], questions=questions_hash(rows))
    translator = translator or open_translator(
        config.translator, sentences=shot_sentences(task), progress=progress
    )  # fmt: skip
    return Translation(
        task, path, rows, source, targets, translator, config, thresholds or AuditThresholds(), run
    )  # fmt: skip


def _languages(config: TranslateConfig) -> tuple[Language, list[Language]]:
    source = config.source or reference_language()
    if not config.targets:
        raise ConfigError("translate.targets: no language to translate into", hint="--to de,sw")
    if source in config.targets:
        raise ConfigError(f"translate.targets: {source!r} is the source too", hint="leave it out of --to")
    return language(source), [language(code) for code in dict.fromkeys(config.targets)]


def texts_of(task: Task, row: Example) -> dict[str, str]:
    """What is translated of a row, by name: its fields but those that hold codes, and its own answers."""
    names = [*task.text_fields, *(f"{CHOICE} {number}" for number in range(len(row.choices)))]
    return dict(zip(names, item_texts(task, row), strict=True))


def translated_row(row: Example, code: str, texts: Mapping[str, str]) -> Example:
    """The row in another language. texts: as `texts_of` names them."""
    return replace(
        row,
        language=code,
        fields={name: texts.get(name, text) for name, text in row.fields.items()},
        choices=tuple(texts[f"{CHOICE} {number}"] for number in range(len(row.choices))),
    )


def run_translation(opened: Translation, *, progress: Progress = no_progress) -> TranslatedQuestions:
    """Translate what is not translated yet, and write the files. ModelError where the translator fails, or more than
    `config.give_up` rows in succession: what was translated stays. RunError where the folder holds these languages made
    with other settings, or cannot be written."""
    plan = opened.plan()
    if not find_spec("lingua"):
        log.info(
            "languages are checked by their scripts alone: lingua is not installed; pip install 'spillover[audit]'"
        )
    clock = _Clock(plan.rows * len(opened.targets) - sum(plan.done.values()))
    codes = [opened.source.code, *(target.code for target in opened.targets)]
    identify = identifiers(codes, opened.thresholds.language_confidence) if find_spec("lingua") else {}
    with opened.run.locked():
        for target in opened.targets:
            name, settings = opened.stage_name(target), opened.settings(target)
            with opened.run.stage(name, settings, replace=not opened.begun(target)) as stage:
                rows = _translate(opened, target, identify.get(target.code), clock, progress)
                stage.facts |= {
                    "translator": opened.translator.name, "prompt": plan.prompts[target.code], "rows": len(rows),
                    "retried": sum(row.retried for row in rows), "left_out": sum(bool(row.problem) for row in rows),
                }  # fmt: skip
        return write_output(
            opened.run, opened.task, opened.questions, _finished_languages(opened), questions_file=opened.path,
            pairwise=opened.config.missing_items == "pairwise", thresholds=opened.thresholds, progress=progress,
        )  # fmt: skip


def _finished_languages(opened: Translation) -> dict[str, list[tuple[TranslatedRow, Example]]]:
    """The rows of every language that these questions were translated into in this folder, by whatever translator, each
    with its example: a row that is left out of one is left out of all."""
    languages = {}
    for name, stage in opened.run.manifest()["stages"].items():
        if stage["state"] == "done":
            target = language(name.rpartition("/")[2])
            if name == opened.stage_name(target):
                pairs = zip(opened.questions, opened.done(target), strict=True)
                languages[target.code] = [
                    (row, translated_row(question, target.code, row.texts)) for question, row in pairs
                ]
    return languages


def _translate(
    opened: Translation, target: Language, identify: Identify | None, clock: _Clock, progress: Progress
) -> list[TranslatedRow]:
    """All rows of one language; those of earlier runs are read."""
    rows, questions = opened.done(target), opened.questions
    checks = RowChecks(opened.source, target, opened.config, opened.thresholds, identify)
    for question, row in zip(questions, rows, strict=False):
        _keep_good(checks, opened.task, question, row)
    activity, size = f"translate {target.code}", opened.config.translator.batch
    progress(activity, len(rows), len(questions))
    while len(rows) < len(questions):
        batch = questions[len(rows) : len(rows) + size]
        translated = _batch(opened, target, checks, batch)
        _check_translator(opened, target, [*rows, *translated])
        append_batch(opened.batches(target), translated)
        for question, row in zip(batch, translated, strict=True):
            _keep_good(checks, opened.task, question, row)
        rows += translated
        clock.done(len(batch))
        progress(activity, len(rows), len(questions))
    return rows


def _keep_good(checks: RowChecks, task: Task, question: Example, row: TranslatedRow) -> None:
    if not row.problem:
        for name, text in texts_of(task, question).items():
            checks.add(text, row.texts[name])


def _batch(opened: Translation, target: Language, checks: RowChecks, batch: Sequence[Example]) -> list[TranslatedRow]:
    """The rows of one batch: translated, checked, and what is bad translated once more."""
    named = [
        (number, name, text) for number, row in enumerate(batch) for name, text in texts_of(opened.task, row).items()
    ]
    texts = [text for _, _, text in named]
    translations, problems = _checked(opened, target, checks, texts, retry=False)
    bad = [i for i, problem in enumerate(problems) if problem]
    if bad:
        again, still = _checked(opened, target, checks, [texts[i] for i in bad], retry=True)
        for i, translation, problem in zip(bad, again, still, strict=True):
            translations[i], problems[i] = translation, problem
    rows = []
    for number, question in enumerate(batch):
        own = [i for i, (row, _, _) in enumerate(named) if row == number]
        reasons = [f"{named[i][1]}: {problems[i]}" for i in own if problems[i]]
        retried = not set(bad).isdisjoint(own)
        rows.append(
            TranslatedRow(question.id, {named[i][1]: translations[i] for i in own}, retried, next(iter(reasons), ""))
        )
    return rows


def _checked(
    opened: Translation, target: Language, checks: RowChecks, texts: Sequence[str], *, retry: bool
) -> tuple[list[str], list[str]]:
    """(translations, what is wrong with each)."""
    found: dict[int, str] = {}
    try:
        translations = list(opened.translator.translate(texts, opened.source, target, retry=retry))
    except IncompleteTranslation as error:
        translations = error.translations
        found = {number: f"translator: {reason}" for number, reason in error.reasons.items()}
    if len(translations) != len(texts) or not all(isinstance(text, str) for text in translations):
        raise ModelError(
            f"{opened.translator.name}: was given {len(texts)} texts and returned {len(translations)}",
            hint="a translation for each text, in the same order",
        )
    translations = [text.strip() for text in translations]
    return translations, checks.problems(texts, translations, found)


def _check_translator(opened: Translation, target: Language, rows: Sequence[TranslatedRow]) -> None:
    """ModelError where so many rows in succession are bad, or all there are, that it is the translator that fails."""
    bad = list(takewhile(lambda row: row.problem, reversed(rows)))
    if len(bad) >= min(opened.config.give_up, len(opened.questions)):
        reasons = Counter(row.problem for row in bad)
        shown = ", ".join(f"{n} x {reason}" for reason, n in reasons.most_common(2))
        raise ModelError(
            f"{opened.translator.name}: not one of {len(bad)} rows in succession was translated into {target.name}: "
            f"{shown}",
            hint="another translator; where the rows are to blame, --set translate.give_up=N",
        )


class _Clock:
    """Says after the first batch how long the others will take."""

    def __init__(self, rows: int) -> None:
        self.left, self.started, self.said = rows, time.monotonic(), False

    def done(self, rows: int) -> None:
        """So many rows more are translated."""
        self.left -= rows
        seconds = time.monotonic() - self.started
        if not self.said and self.left > 0:
            log.info(
                "%d rows in %.1f s: about %s for the other %d", rows, seconds, duration(seconds / rows * self.left),
                self.left,
            )  # fmt: skip
        self.said = True
