"""What the stage hands on, and the declared columns of its tables. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from spillover.core.notebook import block, bullets, paragraph, table
from spillover.core.tables import Column, records
from spillover.stages.compare.change_tables import ROLE, SHARE, VERDICT, P
from spillover.stages.compare.format import p_value
from spillover.stages.compare.measures import MEASURES, Measure

if TYPE_CHECKING:
    import pandas as pd

CHANGE, DIFFERENCE, CHRF = "-1 to 1", "-2 to 2", "0 to 100"
METRICS = tuple(measure.metric for measure in MEASURES.values())
TASK = Column("task", "id of the task")
ROW_COLUMNS = (
    TASK,
    Column("row", "its name, as in alternatives.rows"),
    Column("kind", "reference (base and calibrated base), bound, free, trained or null"),
    Column("null_of", 'the rows whose null it is, separated by spaces, or ""'),
    Column("setting", 'shots, layers, strength, translator as they were used; of a row without numbers, why; or ""'),
    Column("group", "name of the group of languages"),
    Column("languages", "how many languages"),
    Column("n", "items that any of the languages has, without held-out ones", "items"),
    *(
        column
        for metric in METRICS
        for column in (
            Column(metric, f"mean {metric} over the languages", "share", SHARE),
            Column(f"{metric}_delta", "change from the calibrated base", "share", CHANGE),
            Column(f"{metric}_low", "lower end of its interval, paired by item", "share", CHANGE),
            Column(f"{metric}_high", "upper end of its interval, paired by item", "share", CHANGE),
        )
    ),
    Column("primary", "the measure of the following columns: accuracy, calibrated_accuracy or auroc"),
    Column("p", "two-sided p of no change from the calibrated base; of free and trained rows alone", "", P),
    Column("holm_p", "after Holm's correction over these rows", "", P),
    Column("detectable", "minimum detectable change", "share"),
    VERDICT,
    Column("training", "whether it needed training"),
    Column("tokens", "computed for it, beyond what rows above have, translating too; NaN: not recorded", "tokens"),
    Column("seconds", "of computing these; NaN: not recorded", "seconds"),
    Column("preparation_seconds", "of training, or of making the intervention; NaN: not recorded", "seconds"),
)
CONTRAST_COLUMNS = (
    TASK,
    Column("row", "its name"),
    Column("against", "a null of the row, or for the tuned model also a free row"),
    Column("kind", "of the row it is held against: null, or free"),
    Column("group", "name of the group of languages"),
    Column("metric", "accuracy, calibrated_accuracy or auroc"),
    ROLE,
    Column("delta", "the row minus the other, paired by item", "share", DIFFERENCE),
    Column("low", "lower end of its interval", "share", DIFFERENCE),
    Column("high", "upper end of its interval", "share", DIFFERENCE),
    Column("p", "two-sided p of no difference", "", P),
    Column("holm_p", "after Holm's correction over what the row is held against, by kind", "", P),
)
TRANSLATION_COLUMNS = (
    TASK,
    Column("row", "its name, as in alternatives.rows"),
    Column("language", "code of the language that was translated"),
    Column("items", "how many items", "items"),
    Column("texts", "how many texts these have: fields and answers", "texts"),
    Column(
        "chrf", "chrF of the translations against the same items in the reference language; NaN: see reason", "", CHRF
    ),
    Column("chrf_others", "the same with the translation of another item for each: chrF of unrelated text", "", CHRF),
    Column("empty", "texts whose translation is empty; they are asked as such", "texts"),
    Column("unchanged", "texts whose translation is the text itself", "texts"),
    Column(
        "cut",
        "distinct texts that the translator could not translate to their end; what there is of them is asked",
        "texts",
    ),
    Column("answers_kept", "items that keep their own answers, as the translated ones are empty or equal", "items"),
    Column("tokens", "that the translator read and wrote; NaN: not counted", "tokens"),
    Column("seconds", "of translating", "seconds"),
    Column("reason", 'why there is no chrF, or ""'),
)
"""The translations of the rows that translate, one line a language."""


class Need(str, Enum):
    """Did I need to train?"""

    BEATS_EVERY = "tuning beats every free alternative"
    FREE_IS_BETTER = "a free alternative gives more"
    CALIBRATION_IS_ENOUGH = "calibration alone gives what tuning gives"
    NOT_SHOWN_TO_BEAT_EVERY = "tuning is not shown to beat every free alternative"
    UNTESTED = "it cannot be tested"
    FREE_HELPS = "a free alternative beats the calibrated base"
    NOTHING_SHOWN = "no free alternative is shown to help"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Alternatives:
    """The table of one task. rows, contrasts: with `ROW_COLUMNS` and `CONTRAST_COLUMNS`. group: that of the verdict,
    unseen where there is one, else all. primary: the name of a measure; chosen: when it was. held_out: items that
    settings were chosen on, and that no row is scored on. reference: the row that changes are against. translations:
    with `TRANSLATION_COLUMNS`."""

    task: str
    rows: pd.DataFrame
    contrasts: pd.DataFrame
    translations: pd.DataFrame
    answer: Need
    verdict: str
    group: str
    primary: str
    chosen: str
    level: float
    held_out: int
    reference: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        """The primary measure."""
        return MEASURES[self.primary]

    @property
    def reference_title(self) -> str:
        """What changes are against, in words."""
        return "base" if self.reference == "base" else "calibrated base"

    def of_group(self, group: str) -> pd.DataFrame:
        """The table's rows of one group of languages."""
        return self.rows[self.rows["group"] == group].reset_index(drop=True)

    def __str__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        """For a notebook: the verdict, and the rows of its group of languages."""
        measure = self.measure
        rows = [
            (
                row["row"],
                row["kind"],
                measure.value(row[measure.metric]),
                measure.change_with_interval(*(row[f"{measure.metric}_{end}"] for end in ("delta", "low", "high")))
                if row[f"{measure.metric}_delta"] == row[f"{measure.metric}_delta"]
                else "–",
                p_value(row["holm_p"]),
            )
            for row in records(self.of_group(self.group))
        ]
        headings = ("", "kind", measure.title, f"change from the {self.reference_title}", "Holm p")
        title = f"{self.task}, {self.group} languages"
        return block(title, paragraph(self.verdict), table(headings, rows), bullets(self.notes))


@dataclass(frozen=True)
class TranslatedTexts:
    """The items of one language. texts, translations: by item id, as `item_texts` orders them. cut: how many distinct
    texts have no whole translation. tokens: that the translator read and wrote, NaN where nobody counts them. seconds:
    of translating."""

    texts: Mapping[str, Sequence[str]]
    translations: Mapping[str, Sequence[str]]
    cut: int
    tokens: float
    seconds: float


def no_translations() -> pd.DataFrame:
    """The table of translations where no row translates."""
    import pandas as pd

    return pd.DataFrame(columns=[column.name for column in TRANSLATION_COLUMNS])
