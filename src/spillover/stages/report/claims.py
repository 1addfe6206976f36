"""What is claimed, and what runs show of it: one verdict for each claim.

1. Claims are data: what is claimed, the paper's number, the name in the config of the runs that test it.
2. Runs are found by that name. Those that differ in fold or seed alone are one cell.
3. A claim that names its first cell holds where that cell rises and beats all others. One that names none is about all
   its cells: each is tested by itself, corrected over the cells (Holm). One about what is free takes the answer of the
   table of alternatives. One about hidden states holds where it holds in every language (claims_inside.py).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from spillover.core.config import CompareConfig, RunConfig, check_config
from spillover.core.dotted_keys import dotted
from spillover.core.errors import ConfigError, RunError
from spillover.core.files import read_yaml, resources
from spillover.core.notebook import block, bullets, paragraph, table
from spillover.core.runs import MANIFEST, Run, existing_run
from spillover.core.tables import records
from spillover.stages.alternatives.result import Need
from spillover.stages.alternatives.result_files import FOLDER as ALTERNATIVES
from spillover.stages.alternatives.result_files import read_alternatives
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.contrasts import TrainedRun
from spillover.stages.compare.headline import pooled_over_seeds
from spillover.stages.compare.joined_folds import with_joined_folds
from spillover.stages.compare.measures import ACCURACY, CALIBRATED, Measure
from spillover.stages.compare.result import Answer, Comparison, GroupChange, Outcome, Topic
from spillover.stages.compare.stage import compare_arms, trained_runs
from spillover.stages.compare.verdict import outcome_of
from spillover.stages.report.claims_inside import Inside, InsideTest, TextTable, inside_test
from spillover.stats.significance import corrected

CLAIMS = "claims.yaml"
SIDES = ("base", "tuned")
WITHIN_A_CELL = {"name", "seed", "train.seed", "fold"}


class Verdict(str, Enum):
    """What runs show of a claim."""

    HOLDS = "holds"
    PARTLY = "holds in part"
    FAILS = "does not hold"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"

    def __str__(self) -> str:
        return self.value


class Claim(BaseModel):
    """One claim of a claims file. runs: the name in the config of the runs that test it. paper: its number there.
    first: settings of the cell that must beat the others; None: each cell is tested by itself. alternatives: whether
    the table of alternatives answers. inside: which tables of the probe answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: str
    claim: str
    paper: str
    first: Mapping[str, Any] | None = None
    alternatives: bool = False
    inside: Inside | None = None


class Claims(BaseModel):
    """A claims file. settle: what would settle the claims, a paragraph of Markdown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claims: tuple[Claim, ...]
    settle: str = ""


@dataclass(frozen=True)
class Cell:
    """Runs of one arm and recipe, their folds joined. settings: what sets it apart from the other cells, "" where there
    is one. comparison: over its seeds."""

    settings: str
    runs: tuple[TrainedRun, ...]
    comparison: Comparison

    def change(self, metric: str = "", group: str = "") -> GroupChange:
        """The change of a metric in a group: unless given of the primary measure, in the group that the verdict is
        about."""
        metric, group = metric or self.comparison.measure.metric, group or self.group
        return pooled_over_seeds(self.comparison, self.runs[0].arm, self.comparison.group_change(group, metric))

    @property
    def group(self) -> str:
        """The group that the verdict is about: unseen where there are such languages, else all."""
        return "unseen" if self.has_group("unseen") else "all"

    def has_group(self, group: str) -> bool:
        """Whether there are such languages."""
        return bool((self.comparison.groups["group"] == group).any())


@dataclass(frozen=True, repr=False)
class ClaimResult:
    """What runs show of one claim on one task. why: the reasons, in words. cells: the first one first. contrasts:
    sentences on the first cell against each other one. inside: a claim on hidden states, by language. settle: how many
    items would answer; "" where there is an answer. folders: of the runs. seconds: that they took. unfinished: folders
    of runs that are not compared yet."""

    claim: Claim
    verdict: Verdict
    task: str = ""
    why: str = ""
    cells: tuple[Cell, ...] = ()
    contrasts: tuple[str, ...] = ()
    inside: InsideTest | None = None
    settle: str = ""
    folders: tuple[Path, ...] = ()
    seconds: float = 0.0
    unfinished: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return f"{self.claim.claim}{f' ({self.task})' if self.task else ''}: {self.verdict}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        """For a notebook: the verdict and its reasons, the table, the contrasts."""
        tables = [table(self.table.header, self.table.rows)] if self.table else []
        return block(str(self), paragraph(self.why), *tables, bullets(self.contrasts))

    @property
    def table(self) -> TextTable | None:
        """A row for each cell, or for each language where the claim is about hidden states; None without either."""
        if self.inside:
            return self.inside.table
        if not self.cells:
            return None
        first = self.cells[0].comparison
        level = f"{first.measure.title} ({100 * first.level:.0f} %)"
        others = (CALIBRATED, ACCURACY)
        header = ("cell", "items", "seeds", level, "the same, trained-on languages", *(own.title for own in others))
        return TextTable(header, tuple(_cell_row(cell, first.measure, others) for cell in self.cells))


def _cell_row(cell: Cell, measure: Measure, others: Sequence[Measure]) -> tuple[str, ...]:
    def written(own: Measure, group: str) -> str:
        change = cell.change(own.metric, group)
        return own.change_with_interval(change.delta, change.low, change.high)

    change = cell.change()
    seen = written(measure, "seen") if cell.has_group("seen") else "–"
    rest = [written(own, cell.group) for own in others]
    return (cell.settings, str(change.n), str(change.seeds), written(measure, cell.group), seen, *rest)


def read_claims(path: Path | None = None) -> Claims:
    """The claims of a file, or the paper's. ConfigError names what is wrong in it."""
    path = path or resources() / CLAIMS
    try:
        return Claims.model_validate(read_yaml(path))
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
        raise ConfigError(problems, hint="claims: [{runs: NAME-OF-THE-CONFIG, claim: TEXT, paper: TEXT}]") from None


def findings(paths: Sequence[Path | str], claims: Sequence[Claim] | None = None) -> list[ClaimResult]:
    """What runs show of each claim, by task, printed as claim and verdict; a claim without finished runs is `NOT_RUN`.

    paths: run folders, and folders of a sweep. claims: those of the paper unless given. RunError for a folder without a
    run, ConfigError for a run that no claim is tested by, DataError for one arm, recipe and seed twice.
    """
    claims = read_claims().claims if claims is None else claims
    by_claim: dict[str, list[Run]] = {claim.runs: [] for claim in claims}
    for run in _runs_of([Path(path) for path in paths]):
        by_claim[_claim_of(run, claims)].append(run)
    found: list[ClaimResult] = []
    for claim in claims:
        runs = by_claim[claim.runs]
        unfinished = ClaimResult(claim, Verdict.NOT_RUN, unfinished=tuple(run.path for run in runs))
        found += _tested_by(claim, runs) or [unfinished]
    return found


def _runs_of(paths: Sequence[Path]) -> Iterator[Run]:
    for path in paths:
        inner = sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))
        if (path / MANIFEST).exists() or not inner:
            yield existing_run(path)
        else:
            yield from map(existing_run, inner)


def _claim_of(run: Run, claims: Sequence[Claim]) -> str:
    """The name of the claim that a run tests: its own, or what its name begins with, as a sweep names its runs."""
    name = str(run.manifest().get("name") or run.path.name)
    matching = [claim.runs for claim in claims if name == claim.runs or name.startswith(f"{claim.runs}-")]
    if not matching:
        raise ConfigError(
            f"{run.path}: no claim is tested by runs named {name}",
            hint=f"claims are tested by {', '.join(claim.runs for claim in claims)}",
        )
    return max(matching, key=len)


def _tested_by(claim: Claim, runs: Sequence[Run]) -> list[ClaimResult]:
    if claim.inside:
        return _from_inside(claim, claim.inside, runs)
    return _from_alternatives(claim, runs) if claim.alternatives else _from_cells(claim, runs)


def _from_inside(claim: Claim, inside: Inside, runs: Sequence[Run]) -> list[ClaimResult]:
    """A result for each run that was probed and compared to the end."""
    found = []
    for run in runs:
        finished = run.manifest()["stages"].get(COMPARE, {}).get("state") == "done"
        if not finished or (test := inside_test(run, inside)) is None:
            continue
        verdict = Verdict.PARTLY if test.yes else Verdict.FAILS
        if test.yes == test.of:
            verdict = Verdict.HOLDS if test.of else Verdict.INCONCLUSIVE
        result = ClaimResult(
            claim, verdict, ", ".join(_finished_tasks(run)), test.why, inside=test, folders=(run.path,),
            seconds=_seconds([run]),
        )  # fmt: skip
        labels = _config_of(run).evaluate.labels
        if inside == "lens" and labels != "native":
            why = f"the run asks with {labels} label words: what the lens then finds of them is the answer itself"
            result = replace(result, verdict=Verdict.INCONCLUSIVE, why=why, inside=None)
        found.append(result)
    return found


def _from_alternatives(claim: Claim, runs: Sequence[Run]) -> list[ClaimResult]:
    found = []
    verdicts = {Need.BEATS_EVERY: Verdict.HOLDS, Need.CALIBRATION_IS_ENOUGH: Verdict.FAILS}
    verdicts |= {Need.FREE_IS_BETTER: Verdict.FAILS}
    for run in runs:
        for result in read_alternatives(run.path / ALTERNATIVES):
            verdict = verdicts.get(result.answer, Verdict.INCONCLUSIVE)
            why = result.verdict.removesuffix(".")
            found.append(ClaimResult(claim, verdict, result.task, why, folders=(run.path,), seconds=_seconds([run])))
    return found


def _from_cells(claim: Claim, runs: Sequence[Run]) -> list[ClaimResult]:
    configs = {run.path: _config_of(run) for run in runs}
    settings = _different_settings({path: dotted(config.model_dump()) for path, config in configs.items()})
    by_task: dict[str, list[tuple[Run, TrainedRun]]] = {}
    for run in runs:
        for trained in trained_runs(run, SIDES, tasks) if (tasks := _finished_tasks(run)) else ():
            by_task.setdefault(trained.after.task, []).append((run, trained))
    found = []
    for task, own in by_task.items():
        whole = _with_all_folds(own)
        used = [run for run, _ in whole]
        rules = configs[used[0].path].compare.model_copy(update={"against": []})
        first = {run.path for run in used if claim.first and has_settings(configs[run.path], claim.first)}
        about = ClaimResult(
            claim, Verdict.INCONCLUSIVE, task, folders=tuple(run.path for run in used), seconds=_seconds(used),
            unfinished=tuple(run.path for run in runs if run not in used),
        )  # fmt: skip
        found.append(_tested(about, _cells(whole, rules, settings, first), bool(first), rules))
    return found


def _with_all_folds(runs: Sequence[tuple[Run, TrainedRun]]) -> list[tuple[Run, TrainedRun]]:
    """The runs of the arms and seeds that scored the most folds: others lack items, and cannot be compared yet."""
    folds: dict[tuple[str, str, int], set[str]] = {}
    for _, trained in runs:
        folds.setdefault((trained.arm, trained.recipe, trained.seed), set()).add(trained.fold)
    most = max(folds.values(), key=len)
    return [(run, own) for run, own in runs if folds[own.arm, own.recipe, own.seed] == most]


def has_settings(config: RunConfig, settings: Mapping[str, Any]) -> bool:
    """Whether a config has these values, by dotted keys."""
    flat = dotted(config.model_dump())
    return all(flat.get(key) == value for key, value in settings.items())


def _cells(
    runs: Sequence[tuple[Run, TrainedRun]], rules: CompareConfig, settings: Mapping[Path, str], first: set[Path]
) -> tuple[Cell, ...]:
    """The cells, those of the first runs first. settings: by the run's folder."""
    by_recipe: dict[tuple[str, str], list[tuple[Run, TrainedRun]]] = {}
    ordered = sorted(runs, key=lambda own: (own[0].path not in first, settings[own[0].path], own[1].seed))
    for run, trained in ordered:
        by_recipe.setdefault((trained.arm, trained.recipe), []).append((run, trained))
    cells = []
    for members in by_recipe.values():
        joined = with_joined_folds([trained for _, trained in members], rules)
        cells.append(Cell(settings[members[0][0].path], tuple(joined), compare_arms(joined, config=rules)))
    return tuple(cells)


def _tested(about: ClaimResult, cells: tuple[Cell, ...], first_finished: bool, rules: CompareConfig) -> ClaimResult:
    """The result with its verdict. about: the result without. One cell alone shows nothing of a claim on several."""
    about = replace(about, cells=cells)
    if about.claim.first and not first_finished:
        named = ", ".join(f"{key} {value}" for key, value in about.claim.first.items())
        return replace(about, why=f"the cell with {named} is not finished")
    if len(cells) < 2:
        return replace(about, why="no other cell is finished")
    return _first_against_others(about, rules) if about.claim.first else _each_cell(about, rules)


def _first_against_others(about: ClaimResult, rules: CompareConfig) -> ClaimResult:
    comparison = compare_arms([run for cell in about.cells for run in cell.runs], config=rules)
    (headline,) = comparison.about(Topic.HEADLINE)
    group, change = headline.numbers["group"], about.cells[0].change()
    against = _against(comparison, group)
    verdict = _of_answer(Answer(headline.numbers["answer"]), {row["verdict"] for row in against})
    tests = [(change.n, change.detectable), *((row["n"], row["detectable"]) for row in against)]
    contrasts = tuple(row.text for row in comparison.about(Topic.PLACEBO) if row.numbers["group"] == group)
    settle = _settling_items(comparison, tests, rules) if verdict is Verdict.INCONCLUSIVE else ""
    why = "; ".join(headline.numbers["why"])
    return replace(about, verdict=verdict, why=why, contrasts=contrasts, settle=settle)


def _each_cell(about: ClaimResult, rules: CompareConfig) -> ClaimResult:
    changes = [cell.change() for cell in about.cells]
    p_values = corrected(np.array([change.p for change in changes]), "holm")
    outcomes = [
        outcome_of(change.delta, float(p), change.detectable, rules)
        for change, p in zip(changes, p_values, strict=True)
    ]
    rose, fell = outcomes.count(Outcome.IMPROVED), outcomes.count(Outcome.WORSE)
    why = f"{rose} of {len(outcomes)} cells rise after Holm's correction over them" + (f", {fell} fall" if fell else "")
    if rose:
        return replace(about, verdict=Verdict.HOLDS if rose == len(outcomes) else Verdict.PARTLY, why=why)
    if not {Outcome.UNDERPOWERED, Outcome.UNDEFINED} & set(outcomes):
        return replace(about, verdict=Verdict.FAILS, why=why)
    tests = [(change.n, change.detectable) for change in changes]
    return replace(about, why=why, settle=_settling_items(about.cells[0].comparison, tests, rules))


def _against(comparison: Comparison, group: str) -> list[dict[str, Any]]:
    """The contrasts with every other cell, in the primary measure."""
    if comparison.contrasts is None:
        return []
    table = comparison.contrasts
    return records(table[(table["group"] == group) & (table["metric"] == comparison.measure.metric)])


def _of_answer(answer: Answer, against: Collection[str]) -> Verdict:
    """against: the outcomes of the contrasts."""
    if answer in (Answer.YES, Answer.ACCURACY_ALONE):
        return Verdict.HOLDS
    if answer in (Answer.UNDERPOWERED, Answer.UNTESTED):
        return Verdict.INCONCLUSIVE
    underpowered = answer is Answer.NOT_BEATEN and not {Outcome.NO_EVIDENCE, Outcome.WORSE} & set(map(Outcome, against))
    return Verdict.INCONCLUSIVE if underpowered else Verdict.FAILS


def _settling_items(comparison: Comparison, tests: Iterable[tuple[int, float]], rules: CompareConfig) -> str:
    """With how many items a language each test detects a change of `rules.effect`: the standard error falls with the
    square root of the items. tests: (items, minimum detectable change). "" where one is undefined."""
    needed = [items * (detectable / rules.effect) ** 2 for items, detectable in tests]
    if any(map(math.isnan, needed)):
        return ""
    size = comparison.measure.size(rules.effect)
    return f"about {math.ceil(max(needed))} items a language would detect a change of {size}"


def _finished_tasks(run: Run) -> list[str]:
    """The tasks that were scored to the end on both sides."""
    before, after = ([folder.task for folder in run.evaluations(side) if folder.finished] for side in SIDES)
    return [task for task in before if task in after]


def _config_of(run: Run) -> RunConfig:
    path = run.path / "config.yaml"
    if not path.exists():
        raise RunError(f"{run.path}: no config.yaml", hint="a run of `spillover run` or `spillover sweep` has one")
    return check_config(read_yaml(path), source=str(path), problems=[])


def _different_settings(configs: Mapping[Path, Mapping[str, Any]]) -> dict[Path, str]:
    """By run, the values of the keys that cells differ in: `arm shuffled`, `sources es, zh`."""
    keys = [
        key
        for key in dict.fromkeys(key for config in configs.values() for key in config)
        if key not in WITHIN_A_CELL and len({repr(config.get(key)) for config in configs.values()}) > 1
    ]
    return {
        path: "; ".join(f"{key.rpartition('.')[2]} {_text(config.get(key))}" for key in keys)
        for path, config in configs.items()
    }


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _seconds(runs: Sequence[Run]) -> float:
    return math.fsum(stage.get("seconds") or 0.0 for run in runs for stage in run.manifest()["stages"].values())
