"""The table of checks: what `spillover ls checks` lists, what `audit.skip` leaves out, what runs, and what `--fix`
repairs.

To add a check: a function from the input of its scope to `Fault`s, whose docstring says what it sees and what it cannot
see, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from inspect import getdoc
from typing import get_args

from spillover.core.config import AuditConfig, AuditThresholds
from spillover.core.errors import ConfigError
from spillover.core.types import Finding, Kind, RowRepair, Severity
from spillover.stages.audit import (
    answer_indices,
    answer_lengths,
    boilerplate,
    ceiling_check,
    choice_numbers,
    choice_order,
    content_checks,
    duplicates,
    exchanged_fields,
    label_checks,
    language_checks,
    leakage,
    own_answers,
    parallelism,
    prompt_checks,
    retrieval_check,
    swallowed_cells,
)
from spillover.stages.audit.ceiling_check import AuditSummary
from spillover.stages.audit.inputs import Fault, LanguageRows, WordingInput
from spillover.stages.audit.leakage import OtherSplit
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.row_repairs import (
    DropCopies,
    ExchangeFields,
    RenameLabels,
    ReorderChoices,
    RestoreText,
    SetLabels,
)


class Scope(str, Enum):
    """What a check looks at."""

    LANGUAGE = "each language"
    LANGUAGES = "all languages side by side"
    SPLITS = "each other split"
    WORDING = "the wording"
    FINDINGS = "all findings"


INPUTS: Mapping[Scope, type] = {
    Scope.LANGUAGE: LanguageRows,
    Scope.LANGUAGES: LanguageProfiles,
    Scope.SPLITS: OtherSplit,
    Scope.WORDING: WordingInput,
    Scope.FINDINGS: AuditSummary,
}
"""What the check functions of each scope are given."""


class Need(str, Enum):
    """What a check cannot run without."""

    IDENTIFIER = "lingua, from spillover[audit]"
    TOKENIZER = "a tokenizer, from --model"
    ENCODER = "a sentence encoder, from --encoder"


@dataclass(frozen=True)
class Check:
    """One row of the table. severity: of its findings, where the function gives none. thresholds: the keys of
    `audit.thresholds` that it reads. repair: what `--fix` does where it is certain. kinds: the kinds of task for which
    it is defined. by_item: of all languages side by side, whether it compares items by their ids: left out where each
    language has items of its own."""

    id: str
    scope: Scope
    severity: Severity
    function: Callable[..., Iterator[Fault]]
    thresholds: tuple[str, ...] = ()
    repair: type[RowRepair] | None = None
    need: Need | None = None
    kinds: tuple[Kind, ...] = get_args(Kind)
    by_item: bool = True


OWN_ANSWERS: tuple[Kind, ...] = ("choices", "pairs")
LABELS: tuple[Kind, ...] = ("labels",)

# Repairs are made in this order: what shifts or moves all labels before exchanged classes, these before single labels.
CHECKS: tuple[Check, ...] = (
    Check("oracle-ceiling", Scope.FINDINGS, "error", ceiling_check.oracle_ceiling, ("ceiling",)),
    Check(
        "shifted-answers", Scope.LANGUAGES, "error", answer_indices.shifted_answers, ("consensus",), RenameLabels,
        kinds=OWN_ANSWERS, by_item=False,
    ),
    Check(
        "choice-order", Scope.LANGUAGES, "warning", choice_order.choice_order, ("exchange_odds", "consensus"),
        ReorderChoices, kinds=OWN_ANSWERS,
    ),
    Check(
        "label-permutation", Scope.LANGUAGES, "error", label_checks.exchanged_labels, ("label_gain", "consensus"),
        RenameLabels,
    ),
    Check("unknown-label", Scope.LANGUAGES, "error", label_checks.unknown_labels, ("consensus",), RenameLabels),
    Check("unknown-label", Scope.SPLITS, "error", leakage.unknown_training_labels),
    Check("missing-label", Scope.LANGUAGES, "error", label_checks.missing_labels),
    Check(
        "label-disagrees", Scope.LANGUAGES, "error", label_checks.disagreeing_labels, ("consensus", "label_gain"),
        SetLabels,
    ),
    Check("missing-item", Scope.LANGUAGES, "error", parallelism.missing_items),
    Check("extra-item", Scope.LANGUAGES, "warning", parallelism.extra_items),
    Check("shifted-items", Scope.LANGUAGES, "error", parallelism.shifted_items, ("shift_lines", "shift_items")),
    Check("unordered-items", Scope.LANGUAGES, "error", parallelism.unordered_items),
    Check("misplaced-item", Scope.LANGUAGES, "warning", parallelism.misplaced_items),
    Check(
        "exchanged-fields", Scope.LANGUAGES, "warning", exchanged_fields.exchanged_fields, ("exchange_odds",),
        ExchangeFields, kinds=("labels", "choices"),
    ),
    Check("untranslated", Scope.LANGUAGES, "warning", language_checks.untranslated, ("text_letters",)),
    Check("untranslated-field", Scope.LANGUAGES, "warning", language_checks.untranslated_fields, ("text_letters",)),
    Check(
        "wrong-script", Scope.LANGUAGE, "warning", language_checks.wrong_script, ("script_share", "text_letters")
    ),
    Check(
        "wrong-language", Scope.LANGUAGE, "warning", language_checks.wrong_language,
        ("language_letters", "language_confidence"), need=Need.IDENTIFIER,
    ),
    Check("mixed-language", Scope.LANGUAGE, "warning", language_checks.mixed_language),
    Check("empty-field", Scope.LANGUAGE, "error", content_checks.empty_fields),
    Check(
        "truncated", Scope.LANGUAGES, "warning", content_checks.truncated_texts,
        ("length_ratio", "length_spread", "cut_ratio", "cut_spread", "consensus"),
    ),
    Check("swallowed-cells", Scope.LANGUAGE, "error", swallowed_cells.swallowed_cells),
    Check("boilerplate", Scope.LANGUAGES, "warning", boilerplate.boilerplate, ("added_share", "added_nats")),
    Check("stray-tags", Scope.LANGUAGES, "warning", boilerplate.stray_tags, ("consensus",)),
    Check("lost-number", Scope.LANGUAGES, "note", content_checks.lost_numbers, ("number_digits", "consensus")),
    Check("mojibake", Scope.LANGUAGE, "warning", content_checks.mojibake, repair=RestoreText),
    Check("lost-characters", Scope.LANGUAGE, "warning", content_checks.lost_characters),
    Check("escaped-text", Scope.LANGUAGE, "warning", content_checks.escaped_texts, repair=RestoreText),
    Check("broken-markup", Scope.LANGUAGE, "warning", content_checks.broken_markup),
    Check("repeated-id", Scope.LANGUAGE, "error", duplicates.repeated_ids, repair=DropCopies),
    Check("repeated-item", Scope.LANGUAGE, "warning", duplicates.repeated_items),
    Check("repeated-item-labels", Scope.LANGUAGE, "warning", duplicates.repeated_item_labels),
    Check("identical-sides", Scope.LANGUAGE, "warning", duplicates.identical_sides),
    Check("differing-sides", Scope.LANGUAGE, "note", duplicates.differing_sides),
    Check("label-in-text", Scope.LANGUAGE, "warning", duplicates.labels_in_text, kinds=LABELS),
    Check("unusable-choices", Scope.LANGUAGE, "error", own_answers.unusable_choices, kinds=OWN_ANSWERS),
    Check("equal-choices", Scope.LANGUAGE, "warning", own_answers.equal_choices, kinds=("choices",)),
    Check("choice-count", Scope.LANGUAGES, "error", own_answers.choice_counts, kinds=("choices",)),
    Check("cluster-mismatch", Scope.LANGUAGES, "error", own_answers.cluster_mismatches, by_item=False),
    Check(
        "choice-numbers", Scope.LANGUAGES, "warning", choice_numbers.choice_numbers, ("number_digits", "consensus"),
        kinds=OWN_ANSWERS,
    ),
    Check(
        "answer-length", Scope.LANGUAGES, "warning", answer_lengths.answer_length, ("length_gain",), kinds=OWN_ANSWERS,
        by_item=False,
    ),
    Check("shot-in-test", Scope.LANGUAGE, "error", leakage.shots_in_test),
    Check("shot-near-test", Scope.LANGUAGE, "warning", leakage.shots_near_test, ("near_duplicate",)),
    Check("leaked-question", Scope.SPLITS, "error", leakage.leaked_questions),
    Check("near-leak", Scope.SPLITS, "warning", leakage.nearly_leaked_questions, ("near_duplicate",)),
    Check("missing-wording", Scope.WORDING, "note", prompt_checks.missing_wording),
    Check("equal-label-words", Scope.WORDING, "error", prompt_checks.equal_label_words, kinds=LABELS),
    Check("label-word-prefix", Scope.WORDING, "note", prompt_checks.label_word_prefixes, kinds=LABELS),
    Check("unbalanced-shots", Scope.WORDING, "warning", prompt_checks.unbalanced_shots, kinds=LABELS),
    Check("repeated-shot", Scope.WORDING, "warning", prompt_checks.repeated_shots),
    Check("untranslated-shot", Scope.WORDING, "warning", prompt_checks.untranslated_shots),
    Check("label-tokens", Scope.LANGUAGE, "error", prompt_checks.label_tokens, need=Need.TOKENIZER, kinds=LABELS),
    Check(
        "shared-first-token", Scope.LANGUAGE, "note", prompt_checks.shared_first_tokens, need=Need.TOKENIZER,
        kinds=LABELS,
    ),
    Check(
        "label-pieces", Scope.WORDING, "note", prompt_checks.label_pieces, ("label_pieces",), need=Need.TOKENIZER,
        kinds=LABELS,
    ),
    Check("over-context", Scope.LANGUAGE, "error", prompt_checks.over_context, need=Need.TOKENIZER),
    Check("token-cost", Scope.LANGUAGE, "note", prompt_checks.token_cost, ("token_cost",), need=Need.TOKENIZER),
    Check("class-balance", Scope.LANGUAGES, "warning", label_checks.class_balance, ("balance",), kinds=LABELS),
    Check(
        "nearest-item", Scope.LANGUAGE, "warning", retrieval_check.nearest_items, ("encoder_margin",),
        need=Need.ENCODER,
    ),
)  # fmt: skip


def select_checks(config: AuditConfig, available: Iterable[Need]) -> tuple[Check, ...]:
    """The checks that run: not skipped, and with what they need. ConfigError when `skip` or `tolerate` names none."""
    ids = {check.id for check in CHECKS}
    for key, named in (("skip", config.skip), ("tolerate", config.tolerate)):
        if unknown := [check_id for check_id in named if check_id not in ids]:
            raise ConfigError(f"audit.{key}: no check {', '.join(unknown)}", hint="`spillover ls checks` lists them")
    needs = {None, *available}
    return tuple(check for check in CHECKS if check.id not in config.skip and check.need in needs)


def run_check(check: Check, given: object, *, task: str, language: str = "", split: str = "test") -> Iterator[Finding]:
    """The findings of one check. given: the input of its scope. language, split: those of the input."""
    for fault in check.function(given):
        assert fault.repair is None or (check.repair is not None and isinstance(fault.repair, check.repair)), check.id
        yield Finding(
            check=check.id,
            severity=fault.severity or check.severity,
            task=task,
            language=fault.language or language,
            message=fault.message,
            example_ids=tuple(fault.example_ids),
            evidence=fault.evidence,
            ceiling=fault.ceiling,
            certainty=fault.certainty,
            suggestion=fault.suggestion,
            split=split,
            repair=fault.repair,
        )


def describe_checks() -> Iterator[str]:
    """Text on each check, for `spillover ls checks`: what it looks at, reads and needs, what it sees and cannot see."""
    defaults = AuditThresholds()
    for check in CHECKS:
        facts = [check.severity, check.scope.value]
        facts += [f"{key} {getattr(defaults, key)}" for key in check.thresholds]
        facts += [f"needs {check.need.value}"] if check.need else []
        facts += [f"of {' and '.join(check.kinds)} alone"] if len(check.kinds) < len(get_args(Kind)) else []
        facts += ["repaired by --fix"] if check.repair else []
        lines = (getdoc(check.function) or "").splitlines()
        yield "\n    ".join([check.id, ", ".join(facts), *filter(None, lines)])
