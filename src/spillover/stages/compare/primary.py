"""Which measure a comparison goes by, and whether that was fixed before the scores were seen.

1. What is asked for: `compare.primary`; of `auto`, what the run declares; else AUROC for label words and accuracy for
   items with answers of their own, and for logs without log-probabilities.
2. Where it is undefined for a language, the declared `compare.fallback`; without one the task is not tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import Declaration, asked_measure
from spillover.core.languages import UNKNOWN_LANGUAGE
from spillover.core.types import Primary
from spillover.stages.compare.contrasts import TrainedRun
from spillover.stages.compare.measures import ACCURACY, AUROC, MEASURES, Measure
from spillover.stages.compare.pairing import Pairs
from spillover.stages.compare.result import Sentence, Topic

BEFORE, AFTER = "declared before scoring", "chosen after scoring"


@dataclass(frozen=True)
class PrimaryMeasure:
    """The measure of one task. chosen: when and why, as in "declared before scoring"; notes: what a reader must know
    of the choice."""

    measure: Measure
    chosen: str
    notes: tuple[Sentence, ...] = ()


def primary_measure(pairs: Pairs, config: CompareConfig, declared: Declaration | None) -> PrimaryMeasure:
    """The measure of joined scores. declared: by the run, before it was scored; None where it declared nothing."""
    measure, because = _resolved(pairs, asked_measure(config, declared))
    if declared is None:
        return PrimaryMeasure(measure, AFTER + because)
    by_declaration, _ = _resolved(pairs, declared)
    if by_declaration is measure:
        return PrimaryMeasure(measure, BEFORE + because)
    text = f"The primary measure, {measure.title}, was chosen after scoring: the run declares {by_declaration.title}."
    note = Sentence(Topic.NOTE, text, {"primary": measure.name, "declared": by_declaration.name})
    return PrimaryMeasure(measure, AFTER + because, (note,))


def other_declarations(runs: Sequence[TrainedRun]) -> list[Sentence]:
    """That a run declares another primary measure than the first one, which is gone by."""
    sentences = []
    for run in runs[1:]:
        if run.declared != runs[0].declared:
            text = f"Of the primary measure, {run.name} {_said(run)} and {runs[0].name} {_said(runs[0])}."
            sentences.append(Sentence(Topic.NOTE, text, {"run": run.name}))
    return sentences


def _said(run: TrainedRun) -> str:
    if run.declared is None:
        return "declared nothing before it was scored"
    fallback = f" with the fallback {run.declared.fallback}" if run.declared.fallback else ""
    return f"declared {run.declared.primary}{fallback}"


def _resolved(pairs: Pairs, asked: Declaration) -> tuple[Measure, str]:
    """(the measure, why it is the fallback, or "")."""
    measure = _asked_for(pairs, asked.primary)
    reasons: dict[str, list[str]] = {}
    for code, sides in pairs.items():
        if reason := measure.reason_undefined(*sides):
            reasons.setdefault(reason, []).append(code)
    if not reasons or asked.fallback is None:
        return measure, ""
    fallback = MEASURES[asked.fallback]
    reason, codes = next(iter(reasons.items()))
    where = "" if codes == [UNKNOWN_LANGUAGE] else f" in {' '.join(codes)}"
    return fallback, f", as the fallback for {measure.title}, which is undefined{where}: {reason}"


def _asked_for(pairs: Pairs, primary: Primary) -> Measure:
    if primary != "auto":
        return MEASURES[primary]
    sides = [side for both in pairs.values() for side in both]
    with_labels = all(side.kind == "labels" and side.outcome is None for side in sides)
    return AUROC if with_labels else ACCURACY
