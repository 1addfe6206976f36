"""What is wrong in a benchmark's data, row by row, from the files alone.

1. Read the languages one after the other, the reference first, and check each beside the reference.
2. Keep a profile of each, and compare the languages: labels, order, lengths, numbers.
3. Read the other splits and look for test items in them.
4. Check the wording, under a tokenizer where one is given.
5. Sum up for each language what a perfect model would score, and sort the findings by severity.

A broken line stops the audit with its place; everything else is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from spillover.core.config import AuditConfig
from spillover.core.languages import reference_language
from spillover.core.runs import Run
from spillover.core.types import Encode, Example, Finding, Progress, no_progress
from spillover.stages.audit.ceiling_check import AuditSummary
from spillover.stages.audit.checks import LABELS, Check, Need, Scope, run_check, select_checks
from spillover.stages.audit.findings import by_severity, write_findings
from spillover.stages.audit.inputs import Identify, LanguageRows, LanguageTokens, PromptTokenizer, WordingInput
from spillover.stages.audit.language_checks import identifiers
from spillover.stages.audit.leakage import ItemHashes, OtherSplit
from spillover.stages.audit.own_answers import as_audited
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.prompt_checks import tokenize_language
from spillover.tasks.benchmark import TEST, Benchmark, open_benchmark
from spillover.tasks.examples import language_files, read_rows

UNCHECKED = "not-checked"


def audit(
    benchmark: Benchmark | str,
    *,
    config: AuditConfig | None = None,
    tokenizer: PromptTokenizer | None = None,
    encode: Encode | None = None,
    progress: Progress = no_progress,
) -> list[Finding]:
    """Every finding in a benchmark's items, errors first; all of its items, whatever its limit.

    benchmark: as `open_benchmark` gives it, or a task's name for its demo data in all languages. tokenizer: also check
    label words and lengths under it. encode: also compare items with a sentence encoder.
    """
    if isinstance(benchmark, str):
        benchmark = open_benchmark(benchmark)
    return _Audit(benchmark, config or AuditConfig(), tokenizer, encode, progress).findings()


def audit_run(
    run: Run,
    benchmarks: Sequence[Benchmark],
    *,
    config: AuditConfig | None = None,
    tokenizer: PromptTokenizer | None = None,
    encode: Encode | None = None,
    progress: Progress = no_progress,
) -> list[Finding]:
    """The audit stage: `<run>/audit/findings.json` for all tasks. It takes seconds, so it is never resumed."""
    config = config or AuditConfig()
    settings: dict[str, object] = config.model_dump(exclude={"stop"})
    findings: list[Finding] = []
    for benchmark in benchmarks:
        settings[benchmark.task.name] = [
            benchmark.languages,
            benchmark.task.fingerprint,
            benchmark.hashes(),
            *benchmark.wording_settings().values(),
        ]
        findings += audit(benchmark, config=config, tokenizer=tokenizer, encode=encode, progress=progress)
    findings = by_severity(findings)
    with run.stage("audit", settings, replace=True) as stage:
        write_findings(run.path / "audit" / "findings.json", findings)
        stage.facts |= dict(Counter(finding.severity for finding in findings))
    return findings


class _Audit:
    """One audit: the benchmark, the checks that run, and what was read so far."""

    def __init__(
        self,
        benchmark: Benchmark,
        config: AuditConfig,
        tokenizer: PromptTokenizer | None,
        encode: Encode | None,
        progress: Progress,
    ) -> None:
        given = {
            Need.IDENTIFIER: find_spec("lingua") is not None,
            Need.TOKENIZER: tokenizer is not None,
            Need.ENCODER: encode is not None,
        }
        self.benchmark, self.config = benchmark, config
        self.task = as_audited(benchmark.task, [])[0]
        self.tokenizer, self.encode = tokenizer, encode
        selected = select_checks(config, [need for need, there in given.items() if there])
        self.checks = [
            check
            for check in selected
            if self.task.kind in check.kinds
            and (self.task.parallel or check.scope != Scope.LANGUAGES or not check.by_item)
        ]
        self.profiles = LanguageProfiles(self.task, config.thresholds, reference_language())
        self.codes = sorted(benchmark.languages, key=lambda code: code != self.profiles.reference)
        self.tokens: dict[str, LanguageTokens] = {}
        self.other_files = [
            (split, code, path)
            for split in benchmark.splits
            if split != TEST
            for code, path in language_files(benchmark.data, self.task, split).items()
            if code in self.codes
        ]
        steps = len(self.codes) * (len(self._of(Scope.LANGUAGE)) + 2) + len(self.other_files)
        self.step = _steps(f"audit {self.task.name}", steps, progress)

    def _of(self, scope: Scope) -> list[Check]:
        return [check for check in self.checks if check.scope == scope]

    def _needs(self, need: Need) -> bool:
        return any(check.need == need for check in self.checks)

    def findings(self) -> list[Finding]:
        """All findings, errors first."""
        findings = [*self._unchecked(), *self._languages(), *self._run(Scope.LANGUAGES, self.profiles)]
        findings += self._other_splits()
        findings += self._run(Scope.WORDING, self._wording())
        findings += self._run(Scope.FINDINGS, AuditSummary(self.profiles, findings))
        return by_severity(map(self._tolerated, findings))

    def _run(self, scope: Scope, given: object) -> Iterator[Finding]:
        for check in self._of(scope):
            yield from run_check(check, given, task=self.task.name)

    def _unchecked(self) -> Iterator[Finding]:
        """A note where checks are left out because a package is not installed."""
        for check in select_checks(self.config, Need):
            if check.need == Need.IDENTIFIER and find_spec("lingua") is None:
                message = f"{check.id} was not checked: lingua is not installed"
                suggestion = "pip install 'spillover[audit]'"
                yield Finding(UNCHECKED, "note", self.task.name, "", message, suggestion=suggestion)
        if not self.task.parallel:
            message = "languages were not compared: each has items of its own (parallel: false)"
            yield Finding(UNCHECKED, "note", self.task.name, "", message)
        undefined = [check.id for check in select_checks(self.config, ()) if check.kinds == LABELS]
        if self.task.kind != "labels" and undefined:
            message = f"not defined for {self.task.kind}, which have no label words: {', '.join(undefined)}"
            yield Finding(UNCHECKED, "note", self.task.name, "", message)

    def _languages(self) -> Iterator[Finding]:
        """The checks of each language beside the reference; a profile of each is kept."""
        confidence = self.config.thresholds.language_confidence
        identify = identifiers(self.codes, confidence) if self._needs(Need.IDENTIFIER) else {}
        reference: dict[str, Example] = {}
        for code in self.codes:
            # A function of its own, so that a language's texts are gone before the next one's are read.
            yield from self._language(code, reference, identify)

    def _language(
        self, code: str, reference: dict[str, Example], identify: Mapping[str, Identify]
    ) -> Iterator[Finding]:
        """The checks of one language. The reference language's rows are put into `reference`."""
        rows = self._rows(self.benchmark.files[code], code)
        self.profiles.sizes[TEST, code] = len(rows)
        if self.tokenizer is not None and self._needs(Need.TOKENIZER):
            self.tokens[code] = tokenize_language(self.task, code, rows, self.tokenizer)
        given = LanguageRows(
            self.task,
            code,
            rows,
            reference,
            self.config.thresholds,
            identify=identify.get(code),
            encode=self.encode,
            tokens=self.tokens.get(code),
            reference_tokens=self.tokens.get(self.profiles.reference) if reference else None,
        )
        self.step()
        for check in self._of(Scope.LANGUAGE):
            yield from run_check(check, given, task=self.task.name, language=code)
            self.step()
        self.profiles.add(given)
        self.step()
        if code == self.profiles.reference:
            reference.update((row.id, row) for row in reversed(rows))

    def _rows(self, path: Path, code: str) -> list[Example]:
        return as_audited(self.benchmark.task, read_rows(path, self.benchmark.task, code))[1]

    def _other_splits(self) -> Iterator[Finding]:
        """The checks of every split but the test set."""
        hashes = ItemHashes(self.profiles)
        for split, code, path in self.other_files:
            yield from self._other_split(split, code, path, hashes)
            self.step()

    def _other_split(self, split: str, code: str, path: Path, hashes: ItemHashes) -> Iterator[Finding]:
        rows = LanguageRows(self.task, code, self._rows(path, code), {}, self.config.thresholds, split)
        self.profiles.sizes[split, code] = len(rows.rows)
        given = OtherSplit(rows, hashes, self._rows(self.benchmark.files[code], code))
        for check in self._of(Scope.SPLITS):
            yield from run_check(check, given, task=self.task.name, language=code, split=split)

    def _wording(self) -> WordingInput:
        """Languages without wording are named where all languages were asked for."""
        every_language = set(self.codes) == set(self.benchmark.files)
        without = self.benchmark.without_wording if every_language else ()
        thresholds = self.config.thresholds
        return WordingInput(self.task, self.codes, without, self.profiles.reference, thresholds, self.tokens)

    def _tolerated(self, finding: Finding) -> Finding:
        """The finding, as a note where it names no more rows than `tolerate` allows its check."""
        rows = self.profiles.sizes.get((finding.split, finding.language), 0)
        few = 0 < len(finding.example_ids) <= self.config.tolerate.get(finding.check, 0.0) * rows
        return replace(finding, severity="note") if few else finding


def _steps(activity: str, total: int, progress: Progress) -> Callable[[], None]:
    """A function that reports one more of `total` steps: a language may have 600 rows or a million."""
    done = count(1)
    return lambda: progress(activity, next(done), total)
