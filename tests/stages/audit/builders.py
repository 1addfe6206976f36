"""What the tests of the audit build: damaged data folders, and the inputs of check functions."""

from __future__ import annotations

import json
from functools import cache

from spillover.core.config import AuditConfig, AuditThresholds
from spillover.core.files import resources
from spillover.core.types import Example
from spillover.stages.audit import audit
from spillover.stages.audit.inputs import LanguageRows, WordingInput
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task
from tests.builders import write_rows
from tests.stages.audit.choice_faults import items_from_demo
from tests.stages.audit.faults import read_data, write_data

WITHOUT_IDENTIFIER = AuditConfig(skip=["wrong-language"])


def audit_folder(folder, task="sentiment", languages="all", **options):
    """All findings in a data folder."""
    return audit(open_benchmark(task, data=str(folder), languages=languages), **options)


def findings_by_check(folder, language, task="sentiment"):
    """The findings of one language, by check."""
    return {finding.check: finding for finding in audit_folder(folder, task) if finding.language == language}


def change(folder, language, edit):
    """Rewrite the test file of a language."""
    path = folder / "sentiment" / "test" / f"{language}.jsonl"
    write_rows(path, edit([json.loads(line) for line in path.read_text().splitlines()]))


def language_rows(language, texts, reference=(), **more):
    """Reviews of one language, the reference's beside them; ids are their positions."""
    rows = [Example(str(i), language, {"review": text}, "positive") for i, text in enumerate(texts)]
    counterparts = {str(i): Example(str(i), "en", {"review": text}, "positive") for i, text in enumerate(reference)}
    return LanguageRows(load_task("sentiment"), language, rows, counterparts, AuditThresholds(), **more)


def wording_input(task, languages):
    """The wording of some languages of a task."""
    return WordingInput(task, languages, (), "en", AuditThresholds())


@cache
def choice_items(task, n_choices):
    """Clean items with answers of their own in all languages, 24 of each."""
    return items_from_demo(read_data(resources() / "demo" / "nli" / "test"), task, n_choices)


def choice_folder(folder, task, n_choices, edits, languages=("en", "de", "es", "fr", "ru", "th", "zh")):
    """A data folder of such items in some languages. edits: by language, rows to rows."""
    items = choice_items(task, n_choices)
    data = {code: edits[code](items[code]) if code in edits else items[code] for code in languages}
    return write_data(folder, task, data, {})
