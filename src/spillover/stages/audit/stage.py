"""What is wrong in a task's data, row by row, from the files alone.

1. Read the languages one after the other, the reference first, and look at each with the reference beside it.
2. Keep a profile of each, and compare the languages: labels, order, lengths, numbers.
3. Read the other splits and look for test items in them.
4. Look at the wording, under a tokenizer where one is given.
5. Say for each language what a perfect model would score, and put the worst first.

`error`: a score from this data is wrong. `warning`: rows measure something else than they should. `note`: know it.
A broken line stops the audit with its place; everything else is reported.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from pathlib import Path

from spillover.core.config import AuditConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_files, read_json, write_json
from spillover.core.languages import reference_language, select_languages
from spillover.core.runs import Run
from spillover.core.types import Encode, Example, Finding, Progress, PromptTokenizer, Task, no_progress
from spillover.stages.audit import content_checks as content
from spillover.stages.audit import duplicates as items
from spillover.stages.audit import label_checks as labels
from spillover.stages.audit import language_checks as text
from spillover.stages.audit import leakage
from spillover.stages.audit import parallelism as parallel
from spillover.stages.audit import prompt_checks as wording
from spillover.stages.audit import retrieval_check as nearest
from spillover.stages.audit.profile import Languages, Sheet
from spillover.tasks.examples import language_files, read_rows, splits
from spillover.tasks.wording import load_task

log = logging.getLogger(__name__)

TEST = "test"
SEVERITIES = ("error", "warning", "note")
UNCHECKED = "not-checked"

SheetCheck = Callable[[Sheet], Iterator[Finding]]
SHEET_CHECKS: tuple[SheetCheck, ...] = (
    items.repeated_ids, content.empty_fields, items.repeated_items, items.identical_sides, items.leaked_labels,
    text.wrong_script, text.mixed_language, content.encoding_damage, content.markup, leakage.shots_in_test,
)  # fmt: skip


def oracle_ceiling(languages: Languages, findings: Sequence[Finding]) -> Iterator[Finding]:
    """What a perfect model scores in each language: one minus the rows that some finding says it must get wrong.

    Counts labels that the task does not have, labels that the other languages contradict, and equal items with two
    labels. Cannot see an item that nobody could answer, nor a label that is wrong in every language.
    """
    for code, found in languages.profiles.items():
        own = [f for f in findings if f.language == code and f.ceiling is not None and f.split == TEST]
        lost = {example_id for f in own for example_id in f.example_ids if f.check != "shifted-items"}
        n = len(set(found.items.tolist()) | {languages.ids[i] for i in lost})
        ceiling = min(
            [1 - len(lost) / n, *(f.ceiling for f in own if f.ceiling is not None and f.check == "shifted-items")]
        )
        if ceiling < 1:
            severity = "error" if ceiling < languages.config.ceiling else "note"
            causes = sorted({f.check for f in own})
            yield languages.finding(
                "oracle-ceiling", severity, code, f"a perfect model scores {100 * ceiling:.1f} % ({', '.join(causes)})",
                sorted(lost), ceiling=ceiling, evidence={"from": causes}, mend="mend what lowers it",
            )  # fmt: skip


CHECKS: Mapping[str, Callable[..., Iterator[Finding]]] = {
    "oracle-ceiling": oracle_ceiling,
    "unknown-label": labels.unknown_labels,
    "missing-label": labels.unknown_labels,
    "label-permutation": labels.exchanged_labels,
    "label-disagrees": labels.disagreeing_labels,
    "missing-item": parallel.missing_items,
    "extra-item": parallel.missing_items,
    "shifted-items": parallel.shifted_items,
    "unordered-items": parallel.misplaced_items,
    "misplaced-item": parallel.misplaced_items,
    "untranslated": text.untranslated,
    "untranslated-field": text.untranslated,
    "wrong-script": text.wrong_script,
    "wrong-language": text.wrong_language,
    "mixed-language": text.mixed_language,
    "empty-field": content.empty_fields,
    "truncated": content.truncated_texts,
    "lost-number": content.lost_numbers,
    "mojibake": content.encoding_damage,
    "lost-characters": content.encoding_damage,
    "escaped-text": content.markup,
    "broken-markup": content.markup,
    "repeated-id": items.repeated_ids,
    "repeated-item": items.repeated_items,
    "repeated-item-labels": items.repeated_items,
    "identical-sides": items.identical_sides,
    "differing-sides": items.identical_sides,
    "label-in-text": items.leaked_labels,
    "shot-in-test": leakage.shots_in_test,
    "shot-near-test": leakage.shots_in_test,
    "leaked-question": leakage.leaked_questions,
    "near-leak": leakage.leaked_questions,
    "missing-wording": wording.missing_wording,
    "equal-label-words": wording.similar_label_words,
    "label-word-prefix": wording.similar_label_words,
    "unbalanced-shots": wording.shots,
    "repeated-shot": wording.shots,
    "untranslated-shot": wording.shots,
    "label-tokens": wording.label_tokens,
    "shared-first-token": wording.label_tokens,
    "label-pieces": wording.Tokens.label_pieces,
    "over-context": wording.token_cost,
    "token-cost": wording.token_cost,
    "class-balance": labels.class_balance,
    "nearest-item": nearest.nearest_items,
}
"""Each check's id, and the function whose docstring says what it can and cannot see."""


def audit(
    task: str,
    *,
    data: str = "demo",
    languages: str | Sequence[str] = "all",
    config: AuditConfig | None = None,
    tokenizer: PromptTokenizer | None = None,
    encode: Encode | None = None,
    progress: Progress = no_progress,
) -> list[Finding]:
    """Every finding in a task's items, errors first. languages: as in `evaluate`.

    tokenizer: also check label words and lengths under it. encode: also compare items with a sentence encoder.
    """
    chosen = load_task(task)
    config = config or AuditConfig()
    for key, named in (("skip", config.skip), ("tolerate", config.tolerate)):
        if unknown := [check for check in named if check not in CHECKS]:
            raise ConfigError(f"audit.{key}: no check {', '.join(unknown)}", hint="`spillover ls checks` lists them")
    codes, files = _chosen_files(chosen, data, languages)
    others = _other_files(chosen, data, codes)
    step = _steps(f"audit {chosen.name}", len(codes) * (len(SHEET_CHECKS) + 3) + len(others), progress)
    side_by_side = Languages(chosen, config, reference_language())
    findings = list(_read_languages(side_by_side, codes, files, tokenizer, encode, step))
    findings += _compare_languages(side_by_side)
    findings += _other_splits(side_by_side, others, files, step)
    findings += wording.missing_wording(chosen, codes)
    findings += wording.similar_label_words(chosen, codes)
    findings += wording.shots(chosen, codes, side_by_side.reference)
    findings = [finding for finding in findings if finding.check not in config.skip]
    if "oracle-ceiling" not in config.skip:
        findings += list(oracle_ceiling(side_by_side, findings))
    return worst_first(_tolerated(finding, side_by_side) for finding in findings)


def _tolerated(finding: Finding, languages: Languages) -> Finding:
    """The finding, as a note where it names no more rows than `tolerate` allows its check."""
    rows = languages.sizes.get((finding.split, finding.language), 0)
    few = 0 < len(finding.example_ids) <= languages.config.tolerate.get(finding.check, 0.0) * rows
    return replace(finding, severity="note") if few else finding


def _chosen_files(task: Task, data: str, languages: str | Sequence[str]) -> tuple[tuple[str, ...], dict[str, Path]]:
    """(codes to audit, the reference first; test files by code)."""
    files = language_files(data, task, TEST)
    if not files:
        raise DataError(f"{data}: no {task.name}/test/<language>.jsonl here", hint="`--data demo`, or another --task")
    codes = select_languages(languages, files, where=f"languages of {data}")
    return tuple(sorted(codes, key=lambda code: code != reference_language())), files


def _other_files(task: Task, data: str, codes: Sequence[str]) -> list[tuple[str, str, Path]]:
    """(split, language, file) of every split but the test set."""
    return [
        (split, code, path)
        for split in splits(data, task)
        if split != TEST
        for code, path in language_files(data, task, split).items()
        if code in codes
    ]


def _steps(activity: str, total: int, progress: Progress) -> Callable[[], None]:
    """A function that says that one more of `total` steps is done: a language may have 600 rows or a million."""
    done = count(1)
    return lambda: progress(activity, next(done), total)


def _read_languages(
    languages: Languages,
    codes: Sequence[str],
    files: Mapping[str, Path],
    tokenizer: PromptTokenizer | None,
    encode: Encode | None,
    step: Callable[[], None],
) -> Iterator[Finding]:
    """The checks that look at one language beside the reference; a profile of each language is kept."""
    identify, missing = _identifiers(languages, codes)
    yield from missing
    tokens = wording.Tokens(tokenizer, languages.reference) if tokenizer is not None else None
    reference: dict[str, Example] = {}
    for code in codes:
        more: list[SheetCheck] = []
        if code in identify:
            more.append(partial(text.wrong_language, identify=identify[code]))
        if encode is not None:
            more.append(partial(nearest.nearest_items, encode=encode))
        if tokens is not None and code in languages.task.wordings:
            more.append(tokens.check)
        # A function of its own, so that a language's texts are gone before the next one's are read.
        yield from _read_language(languages, code, files[code], reference, more, step)
    if tokens is not None:
        yield from tokens.label_pieces(languages.task, languages.config)


def _read_language(
    languages: Languages,
    code: str,
    path: Path,
    reference: dict[str, Example],
    more: Sequence[SheetCheck],
    step: Callable[[], None],
) -> Iterator[Finding]:
    """The checks of one language. The reference language's rows are put into `reference`."""
    sheet = Sheet(languages.task, code, read_rows(path, languages.task, code), reference, languages.config)
    languages.sizes[TEST, code] = len(sheet.rows)
    step()
    for check in SHEET_CHECKS:
        yield from check(sheet)
        step()
    for check in more:
        yield from check(sheet)
    step()
    languages.add(sheet)
    step()
    if code == languages.reference:
        reference.update((row.id, row) for row in reversed(sheet.rows))


def _identifiers(languages: Languages, codes: Sequence[str]) -> tuple[dict[str, text.Identify], list[Finding]]:
    """Language identifiers by code; without lingua none, and a note that says so."""
    if "wrong-language" in languages.config.skip:
        return {}, []
    try:
        return text.identifiers(codes, languages.config.language_confidence), []
    except ImportError:
        message = "wrong-language was not checked: lingua is not installed"
        return {}, [languages.finding(UNCHECKED, "note", "", message, (), mend="pip install 'spillover[audit]'")]


def _compare_languages(languages: Languages) -> list[Finding]:
    """The checks across languages."""
    runs = parallel.find_shifts(languages)
    explained: dict[str, set[int]] = {}
    for run in runs:
        explained.setdefault(run.language, set()).update(range(run.start, run.end))
    findings: list[Iterable[Finding]] = [
        labels.unknown_labels(languages), labels.exchanged_labels(languages),
        labels.disagreeing_labels(languages, explained), labels.class_balance(languages),
        parallel.missing_items(languages), parallel.shifted_items(languages, runs),
        parallel.misplaced_items(languages, runs), text.untranslated(languages),
        content.truncated_texts(languages), content.lost_numbers(languages),
    ]  # fmt: skip
    return [finding for found in findings for finding in found]


def _other_splits(
    languages: Languages,
    others: Sequence[tuple[str, str, Path]],
    tests: Mapping[str, Path],
    step: Callable[[], None],
) -> Iterator[Finding]:
    """Leaks and unknown labels in every split but the test set."""
    tested = leakage.ItemHashes(languages)
    for split, code, path in others:
        yield from _other_split(languages, split, code, path, tests[code], tested)
        step()


def _other_split(
    languages: Languages, split: str, code: str, path: Path, test: Path, tested: leakage.ItemHashes
) -> Iterator[Finding]:
    sheet = Sheet(languages.task, code, read_rows(path, languages.task, code), {}, languages.config, split=split)
    languages.sizes[split, code] = len(sheet.rows)
    yield from leakage.leaked_questions(sheet, tested, read_rows(test, languages.task, code))
    yield from leakage.unknown_training_labels(sheet)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings before notes; within them the lowest ceiling, then the most rows."""
    return sorted(
        findings,
        key=lambda f: (SEVERITIES.index(f.severity), 1.0 if f.ceiling is None else f.ceiling, -len(f.example_ids)),
    )


def audit_run(
    run: Run,
    tasks: Sequence[str],
    *,
    data: str,
    languages: str | Sequence[str],
    config: AuditConfig | None = None,
    tokenizer: PromptTokenizer | None = None,
    encode: Encode | None = None,
    progress: Progress = no_progress,
) -> list[Finding]:
    """The audit stage: `<run>/audit/findings.json` for all tasks. It takes seconds, so it is always made afresh."""
    config = config or AuditConfig()
    settings: dict[str, object] = {"languages": languages} | config.model_dump(exclude={"stop"})
    findings: list[Finding] = []
    for task in tasks:
        chosen = load_task(task)
        settings[chosen.name] = [chosen.fingerprint, hash_files(language_files(data, chosen, TEST).values())]
        findings += audit(
            task, data=data, languages=languages, config=config, tokenizer=tokenizer, encode=encode, progress=progress
        )
    findings = worst_first(findings)
    with run.stage("audit", settings, replace=True) as stage:
        write_findings(run.path / "audit" / "findings.json", findings)
        stage.facts |= dict(Counter(finding.severity for finding in findings))
    return findings


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """findings.json: a list of findings, errors first."""
    write_json(path, [asdict(finding) for finding in findings])


def read_findings(path: Path) -> list[Finding]:
    """The findings in a findings.json, those of version 0.1.0 too, whose evidence was called facts."""
    findings = []
    for row in read_json(path):
        evidence = row.pop("facts", None) or row.pop("evidence", {})
        findings.append(Finding(**row | {"example_ids": tuple(row["example_ids"]), "evidence": evidence}))
    return findings


def reaches(findings: Iterable[Finding], severity: str) -> bool:
    """Whether any finding is as bad as `severity`, or worse."""
    return any(SEVERITIES.index(finding.severity) <= SEVERITIES.index(severity) for finding in findings)


def refuse_errors(findings: Sequence[Finding]) -> None:
    """DataError when an audit found errors: a run on such data stops before anything is computed."""
    errors = [finding for finding in findings if finding.severity == "error"]
    causes = {(f.task, f.language) for f in errors if f.check != "oracle-ceiling"}
    # The ceiling sums up what lowers it; it is told where no cause of it is an error itself.
    told = [f for f in errors if f.check != "oracle-ceiling" or (f.task, f.language) not in causes]
    if told:
        lines = [" ".join(filter(None, (f.task, f.language))) + f": {f.message}" for f in told]
        raise DataError(
            "\n".join(lines),
            hint="`spillover audit --fix FOLDER` mends what is certain; `--set audit.stop=false` goes on as it is",
        )
