"""The result of a comparison: outcomes, sentences, the guard, and the tables they rest on. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from markupsafe import Markup

from spillover.core.notebook import block, bullets, folded, paragraph, table
from spillover.core.tables import records
from spillover.core.types import Kind
from spillover.stages.compare.measures import MEASURES, Measure
from spillover.stages.compare.shown_tables import ShownRows, filled_columns, group_rows, language_rows

if TYPE_CHECKING:
    import pandas as pd


class Outcome(str, Enum):
    """The outcome of one test.

    improved, got worse   significant at 1 - `compare.level` (single languages: after Holm)
    no evidence           not significant, and the test detects a change of `compare.effect` with `compare.power`
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
    NOTE = "note"
    CHANGE = "change"
    LANGUAGES = "languages"
    LENGTHS = "length rules"
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
    """The headline's answer to "does the claim hold?". By AUROC and by calibrated accuracy, which label bias does not
    move, a rise is a yes; of a rise in accuracy it is asked what rose.

    yes               the primary measure rose; if that is accuracy, calibrated accuracy and AUROC rose both
    label bias alone  accuracy rose, and all that was shown to rise is the label-bias component
    misleading        accuracy rose, raw or calibrated, and the model discriminates less
    unexplained       accuracy rose, and which component rose is not shown
    accuracy alone    accuracy rose, and label bias is not defined: no log-probabilities, or items with own answers
    not beaten        the primary measure rose, and the real arm is not shown to beat every placebo arm
    worse             the primary measure fell
    not shown         the test finds no change; underpowered where a change that matters could have been missed
    """

    YES = "yes"
    LABEL_BIAS_ALONE = "accuracy rose, but calibration alone would have given that"
    MISLEADING = "no, accuracy rose while the model discriminates less"
    UNEXPLAINED = "accuracy rose, and which component rose is not shown"
    ACCURACY_ALONE = "yes, by accuracy alone"
    NOT_BEATEN = "improved, but not shown to beat a placebo"
    WORSE = "no, it got worse"
    NOT_SHOWN = "not shown"
    UNDERPOWERED = "not shown, with too few items"
    UNTESTED = "it cannot be tested"

    @property
    def positive(self) -> bool:
        """Whether the primary measure rose and nothing contradicts it."""
        return self in (Answer.YES, Answer.LABEL_BIAS_ALONE, Answer.UNEXPLAINED, Answer.ACCURACY_ALONE)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Sentence:
    """One sentence of the verdict, and the numbers it reports."""

    about: Topic
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Guard:
    """The non-inferiority test of the reference language's accuracy. p: one-sided, of "it fell by the margin or more".

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
class GroupChange:
    """One row of `Comparison.groups`: the change of one metric, averaged over a group of languages. codes: of its
    languages, separated by spaces. seeds: over how many seeds it is pooled."""

    group: str
    kind: str
    languages: int
    codes: str
    metric: str
    n: int
    before: float
    after: float
    delta: float
    low: float
    high: float
    p: float
    holm_p: float
    languages_low: float
    languages_high: float
    languages_p: float
    detectable: float
    verdict: Outcome
    seeds: int = 1


@dataclass(frozen=True)
class LanguageChange:
    """What the verdict reads of one row of `Comparison.languages`. delta, low, high, p: of the primary measure."""

    language: str
    n: int
    verdict: Outcome
    delta: float
    low: float
    high: float
    p: float
    accuracy_delta: float
    mcnemar_holm_p: float
    prior_repair_delta: float
    auroc_delta: float
    auroc_holm_p: float
    holm_p: float
    bh_q: float
    detectable: float
    one_answer_before: str
    one_answer_after: str


@dataclass(frozen=True)
class Comparison:
    """What changed on one task.

    languages, groups: tables with a row per language, and per group of languages and metric; their columns are declared
    in `change_tables`. contrasts, seeds: see `contrasts`; None for one run alone. all_tasks: this task's rows of
    `all_tasks.all_tasks_table`; None for one task alone. primary: the measure that the verdict goes by, one of
    `MEASURES`. chosen: when it was, as in "declared before scoring"; "" where that is not known.
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
    all_tasks: pd.DataFrame | None = None
    primary: str = "accuracy"
    chosen: str = ""

    @property
    def measure(self) -> Measure:
        """The primary measure."""
        return MEASURES[self.primary]

    @property
    def secondary(self) -> list[Measure]:
        """The other measures."""
        return [measure for measure in MEASURES.values() if measure is not self.measure]

    def to_pandas(self) -> pd.DataFrame:
        """The table of languages."""
        return self.languages

    @property
    def no_components(self) -> str:
        """Why a change has neither a label-bias component nor AUROC, where these are undefined."""
        if self.label_set in get_args(Kind):
            return f"label bias and AUROC are not defined for {self.label_set}"
        return "these scores do not show the label-bias component"

    def about(self, topic: Topic) -> list[Sentence]:
        """The verdict's sentences on one topic."""
        return [sentence for sentence in self.verdict if sentence.about == topic]

    def language_changes(self) -> list[LanguageChange]:
        """The rows of the table of languages."""
        metric, p = self.measure.metric, self.measure.single_test
        names = {f"{metric}_{end}": end for end in ("delta", "low", "high")} | {p: "p"}
        own = self.languages[list(names)].rename(columns=names)
        return _rows(self.languages.assign(**own), LanguageChange)

    def group_changes(self, metric: str, kinds: Collection[str]) -> list[GroupChange]:
        """The changes of one metric over the groups of these kinds."""
        table = self.groups
        return _rows(table[(table["metric"] == metric) & table["kind"].isin(list(kinds))], GroupChange)

    def group_change(self, group: str, metric: str) -> GroupChange:
        """The change of one metric over one group."""
        table = self.groups
        return _rows(table[(table["group"] == group) & (table["metric"] == metric)], GroupChange)[0]

    def __str__(self) -> str:
        return "\n".join(sentence.text for sentence in self.verdict)

    def _repr_html_(self) -> str:
        """For a notebook: the headline, the languages, the groups, and behind a click the other sentences."""
        headline = [f"{name}: {text}." for sentence in self.about(Topic.HEADLINE) for name, text in _headline(sentence)]
        why = [reason for sentence in self.about(Topic.HEADLINE) for reason in sentence.numbers["why"]]
        rest = [sentence.text for sentence in self.verdict if sentence.about is not Topic.HEADLINE]
        languages = language_rows(self.languages, self.measure, self.level)
        groups = group_rows(self.groups[self.groups["kind"] != "all"], self.measure, self.level)
        return block(
            self.task + " (* trained on)" * bool(self.seen),
            *map(paragraph, headline),
            bullets(why),
            _shown(languages),
            folded("means over groups of languages", _shown(groups)) if groups else Markup(),
            folded("what else was found", bullets(rest)) if rest else Markup(),
        )


def _headline(sentence: Sentence) -> list[tuple[str, str]]:
    numbers = sentence.numbers
    return [("Claim", numbers["claim"]), ("Measured by", numbers["measure"]), ("Does it hold", numbers["answer"])]


def _shown(rows: ShownRows) -> Markup:
    headings = filled_columns(rows)
    return table(("", *headings), [(name, *(row[heading] for heading in headings)) for name, row in rows.items()])


Row = TypeVar("Row", GroupChange, LanguageChange)


def _rows(table: pd.DataFrame, kind: type[Row]) -> list[Row]:
    names = [entry.name for entry in fields(kind) if entry.name in table]
    columns = {name: table[name].tolist() for name in names}
    columns["verdict"] = [Outcome(word) for word in columns["verdict"]]
    return [kind(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def to_plain(comparison: Comparison) -> dict[str, Any]:
    """Everything as lists and mappings, for JSON: tables by row, sentences with their numbers. NaN stays NaN."""
    tables = {name: getattr(comparison, name) for name in ("languages", "groups", "contrasts", "seeds", "all_tasks")}
    return {
        "task": comparison.task,
        "label_set": comparison.label_set,
        "seen": list(comparison.seen),
        "level": comparison.level,
        "primary": comparison.primary,
        "chosen": comparison.chosen,
        "verdict": [asdict(sentence) for sentence in comparison.verdict],
        "guard": asdict(comparison.guard) if comparison.guard else None,
    } | {name: None if table is None else records(table) for name, table in tables.items()}
