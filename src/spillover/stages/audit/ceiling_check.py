"""What the findings together mean for a score: the accuracy that a perfect model would reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillover.core.types import Finding
from spillover.stages.audit.inputs import Fault
from spillover.stages.audit.profile import LanguageProfiles

TEST = "test"
SHIFTED = "shifted-items"  # its ceiling counts the labels that did not move with their text, not all of its rows


@dataclass(frozen=True, eq=False)
class AuditSummary:
    """The languages, and the findings of all other checks."""

    languages: LanguageProfiles
    findings: Sequence[Finding]


def oracle_ceiling(summary: AuditSummary) -> Iterator[Fault]:
    """The accuracy of a perfect model in each language: one minus the share of rows that it must get wrong by some
    finding.

    Counts labels that the task does not have, labels that the other languages contradict, and equal items with two
    labels. Cannot see an item that nobody could answer, nor a label that is wrong in every language.
    """
    languages = summary.languages
    item_ids = languages.item_ids()
    for code, profile in languages.profiles.items():
        causes = [f for f in summary.findings if f.language == code and f.ceiling is not None and f.split == TEST]
        lost = {example_id for f in causes for example_id in f.example_ids if f.check != SHIFTED}
        n_items = len({item_ids[i] for i in profile.items} | lost)
        ceilings = [f.ceiling for f in causes if f.ceiling is not None and f.check == SHIFTED]
        ceiling = min([1 - len(lost) / n_items, *ceilings])
        if ceiling < 1:
            checks = sorted({f.check for f in causes})
            yield Fault(
                f"a perfect model scores {100 * ceiling:.1f} % ({', '.join(checks)})",
                sorted(lost),
                code,
                evidence={"from": checks},
                ceiling=ceiling,
                severity=None if ceiling < languages.thresholds.ceiling else "note",
                suggestion="repair what lowers it",
            )
