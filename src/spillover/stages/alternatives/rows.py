"""The rows of the table, from their names in `alternatives.rows`: what each is, which evaluation it needs, its nulls.

base, calibrated   always there; all others are tested against the calibrated base
bound              the base's score on the same items in the reference language: the most that a perfect translation
                   could give; it takes part in no test
shots:FORM         null: the same shots (English ones, for several languages) behind unrelated sentences
self-translate     the items as the model itself translates them into the reference language, asked with its shots and
                   label words; null: each with the translation of another item. The bound comes with it
translate-test     the same by the translator of the config
steer:METHOD       nulls: those that are made with the intervention
tuned              nulls: the placebo arms
layers:LAYERS      of the tuned model's adapter; nulls: the same layers of the placebo arms
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import get_args

from spillover.core.config import TRANSLATORS, AlternativesConfig, SteeringMethod
from spillover.core.errors import ConfigError
from spillover.core.languages import reference_language
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.shots import MIXED, OWN_SHOTS, UNRELATED

BASE, CALIBRATED, BOUND, TUNED = "base", "calibrated", "bound", "tuned"
SELF_TRANSLATE, TRANSLATE_TEST = "self-translate", "translate-test"
TRANSLATIONS = (SELF_TRANSLATE, TRANSLATE_TEST)
SHUFFLED = "shuffled"
FORMS = f"{BOUND}, shots:FORM, {', '.join(TRANSLATIONS)}, steer:METHOD, layers:LAYERS, {TUNED}"
METHODS = get_args(SteeringMethod)


class RowKind(str, Enum):
    """What a row is: the base, with and without calibration; a bound; free; made by training; or a null of another."""

    REFERENCE = "reference"
    BOUND = "bound"
    FREE = "free"
    TRAINED = "trained"
    NULL = "null"

    def __str__(self) -> str:
        return self.value

    @property
    def tested(self) -> bool:
        """Whether it is among the tests against the calibrated base that Holm's correction covers."""
        return self in (RowKind.FREE, RowKind.TRAINED)


@dataclass(frozen=True)
class Row:
    """One row. evaluation: its name in the run. null_of: the rows whose null it is. The rest is how the evaluation
    differs from the base's: shots, the name of an intervention in the run, an adapter and the layers that keep it, the
    name of the row whose translations are asked, and whether each item has those of another. reason: why it cannot be
    made; "" where it can."""

    name: str
    kind: RowKind
    evaluation: str
    null_of: tuple[str, ...] = ()
    shots: str | None = None
    steer: str | None = None
    adapter: str | None = None
    layers: str | None = None
    translations: str | None = None
    shuffled: bool = False
    reason: str = ""

    @property
    def trained(self) -> bool:
        """Whether training made it."""
        return self.adapter is not None


def planned_rows(
    config: AlternativesConfig, benchmarks: Sequence[Benchmark], shots: str, adapter: str
) -> tuple[Row, ...]:
    """The rows, each before its nulls; those of interventions are not known before these are made.

    shots: the base's, `evaluate.shots`. adapter: folder of the tuned model's adapter, where the config names none.
    ConfigError names every row that is unknown, given twice, or the same as the base.
    """
    names = [name.replace(" ", "") for name in config.rows]
    problems = [f"alternatives.rows: {name}: given twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    rows = [Row(BASE, RowKind.REFERENCE, BASE), Row(CALIBRATED, RowKind.REFERENCE, BASE)]
    scored_in_reference = all(reference_language() in benchmark.languages for benchmark in benchmarks)
    if any(name in TRANSLATIONS for name in names) and BOUND not in names and scored_in_reference:
        names.insert(0, BOUND)
    problems += _placebo_problems(config.placebos, names)
    for name in names:
        if name not in (BASE, CALIBRATED):
            try:
                rows += _rows_of(name, config, benchmarks, shots, config.adapter or adapter)
            except ConfigError as error:
                problems += [f"alternatives.rows: {name}: {problem}" for problem in error.problems]
    if not names:
        problems.append("alternatives.rows: no rows")
    if problems:
        raise ConfigError(problems, hint=f"rows are {FORMS}")
    return _joined_nulls(rows)


def _placebo_problems(placebos: Mapping[str, str], names: Sequence[str]) -> list[str]:
    taken = (BASE, CALIBRATED, BOUND, TUNED, *TRANSLATIONS, *METHODS)
    problems = [
        f"alternatives.placebos: {arm}: {'the name is taken' if arm in taken else 'letters, digits, - and . alone'}"
        for arm in placebos
        if arm in taken or file_name(arm) != arm
    ]
    if placebos and not any(name == TUNED or name.startswith("layers:") for name in names):
        problems.append("alternatives.placebos: no row is tuned: list tuned, or leave them out")
    return problems


def _rows_of(
    name: str, config: AlternativesConfig, benchmarks: Sequence[Benchmark], shots: str, adapter: str
) -> list[Row]:
    word, colon, setting = name.partition(":")
    if name == BOUND:
        _check_reference(benchmarks)
        return [Row(name, RowKind.BOUND, BASE)]
    if name in TRANSLATIONS:
        return _translated_rows(name, config)
    if name == TUNED:
        return _trained_rows(name, None, config.placebos, adapter)
    if word == "layers" and setting:
        return _trained_rows(name, setting, config.placebos, adapter)
    if word == "shots" and setting:
        return _shots_rows(name, setting, benchmarks, shots)
    if word == "steer" and setting in METHODS:
        return [Row(name, RowKind.FREE, setting, steer=setting)]
    raise ConfigError(f"unknown method, of {', '.join(METHODS)}" if word == "steer" and colon else "unknown row")


def _check_reference(benchmarks: Sequence[Benchmark]) -> None:
    for benchmark in benchmarks:
        if reference_language() not in benchmark.languages:
            raise ConfigError(f"{benchmark.task.name} is not scored in {reference_language()}, which the bound needs")


def _trained_rows(name: str, layers: str | None, placebos: Mapping[str, str], adapter: str) -> list[Row]:
    where = f"-{file_name(layers)}" if layers else ""
    rows = [Row(name, RowKind.TRAINED, f"{TUNED}{where}", adapter=adapter, layers=layers)]
    for arm, folder in placebos.items():
        label = f"{arm} {name}" if layers else arm
        rows.append(Row(label, RowKind.NULL, file_name(f"{arm}{where}"), (name,), adapter=folder, layers=layers))
    return rows


def _translated_rows(name: str, config: AlternativesConfig) -> list[Row]:
    row = Row(name, RowKind.FREE, name, shots=reference_language(), translations=name)
    if name == TRANSLATE_TEST and not any(getattr(config.translator, key) for key in TRANSLATORS):
        reason = f"needs a translator: one of {', '.join(TRANSLATORS)} in alternatives.translator"
        return [replace(row, reason=reason)]
    null = replace(row, name=f"{name} {SHUFFLED}", kind=RowKind.NULL, evaluation=f"{name}-{SHUFFLED}", null_of=(name,))
    return [row, replace(null, shuffled=True)]


def _shots_rows(name: str, form: str, benchmarks: Sequence[Benchmark], shots: str) -> list[Row]:
    one_language = re.fullmatch(r"[\w-]+", form) and form not in (OWN_SHOTS, MIXED)
    placebo = f"{form if one_language else reference_language()}+{UNRELATED}"
    if f"+{UNRELATED}" in form:
        raise ConfigError("it is a null, and is made with the shots that it belongs to")
    for benchmark in benchmarks:
        if benchmark.resolved_shots(form) == benchmark.resolved_shots(shots):
            raise ConfigError(f"the base's shots are the same ({shots}) on {benchmark.task.name}")
        benchmark.resolved_shots(placebo)
    return [
        Row(name, RowKind.FREE, file_name(name), shots=form),
        Row(f"shots:{placebo}", RowKind.NULL, file_name(f"shots:{placebo}"), (name,), shots=placebo),
    ]


def _joined_nulls(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Each null once, with all rows whose null it is."""
    joined: dict[str, Row] = {}
    for row in rows:
        known = joined.get(row.name)
        joined[row.name] = replace(known, null_of=known.null_of + row.null_of) if known else row
    return tuple(joined.values())


def file_name(name: str) -> str:
    """A row's name as that of an evaluation in the run."""
    return re.sub(r"[^\w.-]+", "-", name)
