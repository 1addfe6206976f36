"""The result of a comparison: outcomes, sentences, the guard, and the tables they rest on. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Outcome(str, Enum):
    """The outcome of one test.

    improved, got worse   significant at the level asked for (single languages: after Holm)
    no evidence           not significant; a change of `compare.effect` would have been found with `compare.power`
    underpowered          not significant, and such a change could have been missed
    undefined             no test
    """

    IMPROVED = "improved"
    WORSE = "got worse"
    NO_EVIDENCE = "no evidence"
    UNDERPOWERED = "underpowered"
    UNDEFINED = "undefined"

    def __str__(self) -> str:
        return self.value


class Topic(str, Enum):
    """What a sentence of the verdict is about."""

    HEADLINE = "headline"
    CHANGE = "change"
    LANGUAGES = "languages"
    SPLIT = "split"
    MISREAD = "misread"
    CONSTANT = "one answer"
    GUARD = "guard"
    GENERAL = "general"
    PLACEBO = "placebo"
    SEEDS = "seeds"
    EXPLANATION = "explanation"

    def __str__(self) -> str:
        return self.value


class Answer(str, Enum):
    """The headline's answer to "does the claim hold?".

    yes               accuracy rose and the model discriminates better: calibrated accuracy and AUROC rose both
    label bias alone  accuracy rose, and all that was shown to rise is the label-bias component
    misleading        accuracy rose, and the model discriminates less
    unexplained       accuracy rose, and which component rose is not shown
    accuracy alone    accuracy rose, and the scores hold no log-probabilities
    not beaten        accuracy rose, and the real arm is not shown to beat every placebo arm
    worse             accuracy fell
    not shown         the test finds no change; underpowered where a change that matters could have been missed
    """

    YES = "yes"
    LABEL_BIAS_ALONE = "accuracy rose, but calibration alone would have given that"
    MISLEADING = "no, accuracy rose while the model discriminates less"
    UNEXPLAINED = "accuracy rose, and which component rose is not shown"
    ACCURACY_ALONE = "yes, by accuracy alone"
    NOT_BEATEN = "accuracy rose, but it is not shown to beat a placebo"
    WORSE = "no, it got worse"
    NOT_SHOWN = "not shown"
    UNDERPOWERED = "not shown, with too few items"
    UNTESTED = "it cannot be tested"

    @property
    def positive(self) -> bool:
        """Whether accuracy rose and nothing contradicts it."""
        return self in (Answer.YES, Answer.LABEL_BIAS_ALONE, Answer.UNEXPLAINED, Answer.ACCURACY_ALONE)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Sentence:
    """One sentence of the verdict, and the numbers it stands on. about: a `Topic`'s value."""

    about: str
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Guard:
    """Whether the reference language kept its accuracy: `p` of "it fell by the margin or more", one-sided.

    held: the interval lies above minus the margin. lost: it lies below. Neither: undecided.
    """

    language: str
    margin: float
    delta: float
    low: float
    high: float
    p: float
    held: bool
    lost: bool


@dataclass(frozen=True)
class Comparison:
    """What changed on one task.

    languages: a row per language. For each of accuracy, calibrated_accuracy and auroc `<metric>_before`, `_after`; for
    these and prior_repair (the label-bias component) `_delta` (shares, not points), `_low`, `_high` (the reported,
    analytic interval), `_boot_low`, `_boot_high` (the paired bootstrap's), `_p`, `_holm_p`. The label-bias component
    and calibrated accuracy add up to accuracy.
    Also `gained` and `lost` items, `mcnemar_p` (exact, conservative: its true size is half of the nominal 5 %; with
    ties see `intervals.sign_flip_test`), `mcnemar_mid_p` (near 5 %, never above), `holm_p`, `bh_q` of the mid-p,
    `detectable`, `verdict` (by `holm_p`), `reason` (why a number is NaN), `one_answer_before`, `one_answer_after` (the
    label that every item got, else "").
    groups: a row per group and metric with `before`, `after`, `delta`, `low`, `high`, `boot_low`, `boot_high`, `p`,
    `holm_p` (within the kind of group), `languages_low`, `languages_high` (the languages being a sample too),
    `detectable`, `verdict`. contrasts, seeds: see `contrasts.py`; None for one run alone.
    """

    task: str
    label_set: str
    seen: tuple[str, ...]
    level: float
    languages: pd.DataFrame
    groups: pd.DataFrame
    verdict: tuple[Sentence, ...]
    guard: Guard | None = None
    contrasts: pd.DataFrame | None = None
    seeds: pd.DataFrame | None = None

    def to_pandas(self) -> pd.DataFrame:
        """The table of languages."""
        return self.languages

    def about(self, topic: Topic) -> list[Sentence]:
        """The verdict's sentences on one topic."""
        return [sentence for sentence in self.verdict if sentence.about == topic]

    def __str__(self) -> str:
        return "\n".join(sentence.text for sentence in self.verdict)


def to_plain(comparison: Comparison) -> dict[str, Any]:
    """Everything as lists and mappings, for JSON: tables by row, sentences with their numbers. NaN stays NaN."""
    tables = {name: getattr(comparison, name) for name in ("languages", "groups", "contrasts", "seeds")}
    return {
        "task": comparison.task,
        "label_set": comparison.label_set,
        "seen": list(comparison.seen),
        "level": comparison.level,
        "verdict": [asdict(sentence) for sentence in comparison.verdict],
        "guard": asdict(comparison.guard) if comparison.guard else None,
    } | {name: None if table is None else table.to_dict("records") for name, table in tables.items()}
