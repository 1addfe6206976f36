"""Runs of one arm, recipe and seed that scored different folds of the items → one cross-fitted run of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from spillover.core.config import CompareConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_of
from spillover.core.types import Evaluation
from spillover.stages.compare.contrasts import TrainedRun
from spillover.stats.cross_fitting import joined_parts

OF_ONE_MODEL = ("contextual", "pmi")


def with_joined_folds(runs: Sequence[TrainedRun], config: CompareConfig) -> list[TrainedRun]:
    """The runs, those that differ in their fold alone as one. ConfigError for a calibration by scores of a single
    model, DataError where an item is in two folds."""
    by_recipe: dict[tuple[str, str, int], list[TrainedRun]] = {}
    joined: list[TrainedRun] = []
    for run in runs:
        by_recipe.setdefault((run.arm, run.recipe, run.seed), []).append(run)
    for members in by_recipe.values():
        if len({member.fold for member in members}) == 1:
            joined += members
            continue
        if config.calibration in OF_ONE_MODEL:
            raise ConfigError(
                f"compare.calibration: {config.calibration} is by scores of one model, and each fold has its own",
                hint="compare.calibration: batch",
            )
        joined.append(_joined(sorted(members, key=lambda member: member.fold)))
    return joined


def _joined(members: Sequence[TrainedRun]) -> TrainedRun:
    first, folds = members[0], [member.fold for member in members]
    if len(set(folds)) < len(folds):
        raise DataError(
            f"{', '.join(member.name for member in members)}: folds {', '.join(folds)} of one arm and seed",
            hint="give each fold once",
        )
    note = (
        f"items of {len(folds)} folds, each scored by a model tuned on questions of the others; AUROC and calibration "
        "are within a fold"
    )
    after = _evaluation([member.after for member in members], folds)
    return replace(
        first,
        name=" + ".join(member.name for member in members),
        fold="",
        before=_evaluation([member.before for member in members], folds),
        after=replace(after, notes=(*after.notes, note)),
    )


def _evaluation(parts: Sequence[Evaluation], folds: Sequence[str]) -> Evaluation:
    first = parts[0]
    languages = [set(part.scores) for part in parts]
    if any(codes != languages[0] for codes in languages):
        raise DataError("the folds were not scored in the same languages", hint="evaluate each fold in all of them")
    scores = {}
    for code in first.scores:
        own = joined_parts([part.scores[code] for part in parts], folds)
        if len(set(own.example_ids)) < len(own.example_ids):
            raise DataError(f"{code}: an item is in folds {' and '.join(folds)}", hint="give folds of one count")
        scores[code] = own
    models = [part.model for part in parts]
    same = len({model.fingerprint for model in models}) == 1
    model = first.model if same else replace(first.model, fingerprint=hash_of([one.fingerprint for one in models]))
    return replace(first, model=model, key=hash_of([part.key for part in parts]), scores=scores)
