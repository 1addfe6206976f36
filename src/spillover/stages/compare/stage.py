"""The compare stage: two evaluations of the same items → what changed, with intervals, tests and a verdict.

1. Join by item id; each item's contribution to every change (`pairing`); the measure to go by (`primary`).
2. Tables by language and over groups (`change_tables`), the guard of the reference language (`guard`), and, with
   several runs, seeds and contrasts with placebo arms (`contrasts`).
   Of several runs, those that scored different folds of the items are first joined to one (`folds`).
3. The verdict and its headline (`verdict`, `headline`).
4. Where both models were probed, what goes along with flipped predictions (`flip_analysis`).
5. Of a run with several tasks, all of them under one correction (`all_tasks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import Declaration, declared_measure
from spillover.core.errors import RunError
from spillover.core.files import hash_of
from spillover.core.runs import Run, existing_run
from spillover.core.types import Evaluation
from spillover.stages.compare.all_tasks import with_all_tasks
from spillover.stages.compare.change_tables import group_table, language_table
from spillover.stages.compare.comparison_files import FOLDER, write_comparisons
from spillover.stages.compare.contrasts import TrainedRun, changes_by_arm, contrast_table, seed_table
from spillover.stages.compare.differences import (
    borrowed_wording_sentences,
    cluster_sentences,
    difference_sentences,
    note_sentences,
    run_difference_sentences,
)
from spillover.stages.compare.flip_analysis import with_flip_analysis
from spillover.stages.compare.guard import guard_of
from spillover.stages.compare.headline import with_headline
from spillover.stages.compare.joined_folds import with_joined_folds
from spillover.stages.compare.language_groups import groups_of
from spillover.stages.compare.length_rules import length_sentences
from spillover.stages.compare.pairing import changes_of, join
from spillover.stages.compare.primary import other_declarations, primary_measure
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.verdict import contrast_sentences, seed_sentences, verdict
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stats.resampling import bootstrap_changes, item_weights

# What may differ between two runs of one arm: the seed, and the pairs sampled with it, or made of other folds.
SEEDED = ("seed", "pairs", "scored_fold")


def compare(
    before: Evaluation,
    after: Evaluation,
    *,
    seen: str | Sequence[str] = (),
    config: CompareConfig | None = None,
    seed: int = 0,
    declared: Declaration | None = None,
) -> Comparison:
    """The change from `before` to `after` on the items of both. seen: languages that were trained on, codes or "es,de".
    declared: the primary measure that was declared before both were scored, see `core.declared_measure`.

    DataError when the tasks, languages, items or their gold labels differ.
    """
    config = config or CompareConfig()
    seen = tuple(seen.split(",") if isinstance(seen, str) else seen)
    pairs = join(before, after, config)
    primary = primary_measure(pairs, config, declared)
    changes = changes_of(pairs, config.calibration)
    groups = groups_of(changes.languages, seen, config.groups)
    rng = np.random.default_rng(seed)
    weights = item_weights(len(changes.example_ids), config.draws, rng, clusters=changes.clusters)
    draws = bootstrap_changes(pairs, changes.example_ids, weights, config.calibration)
    comparison = Comparison(
        task=after.task,
        label_set=" → ".join(dict.fromkeys((before.label_set, after.label_set))),
        seen=seen,
        level=config.level,
        languages=language_table(pairs, changes, draws, seen, config, primary.measure),
        groups=group_table(pairs, changes, draws, groups, config, primary.measure, rng),
        verdict=(),
        guard=guard_of(changes, config),
        primary=primary.measure.name,
        chosen=primary.chosen,
    )
    notes = [*primary.notes, *difference_sentences(before, after, pairs), *note_sentences(before, after, pairs)]
    notes += [*borrowed_wording_sentences(pairs), *cluster_sentences(changes), *length_sentences(before, after, config)]
    return with_headline(replace(comparison, verdict=(*notes, *verdict(comparison))))


def compare_arms(runs: Sequence[TrainedRun], *, config: CompareConfig | None = None, seed: int = 0) -> Comparison:
    """The first run's comparison, with its arm's seeds pooled and with contrasts to all other arms.

    DataError when the runs do not have the same task, languages and items.
    """
    config, first = config or CompareConfig(), runs[0]
    arms = changes_by_arm(runs, config)
    comparison = compare(first.before, first.after, seen=first.seen, config=config, seed=seed, declared=first.declared)
    real, (changes, *_) = next(iter(arms.items()))
    groups = groups_of(changes.languages, first.seen, config.groups)
    seeds, contrasts = (table(arms, groups, config, comparison.measure) for table in (seed_table, contrast_table))
    sides = [(member.before, member.after) for member in runs]
    sentences = [*run_difference_sentences([member.name for member in runs], sides), *other_declarations(runs)]
    sentences += comparison.verdict
    if seeds is not None:
        sentences += seed_sentences(comparison, seeds, real)
    if contrasts is not None:
        sentences += contrast_sentences(comparison, contrasts, real)
    return with_headline(replace(comparison, seeds=seeds, contrasts=contrasts, verdict=tuple(sentences)), real)


def compare_run(
    run: Run,
    *,
    before: str = "base",
    after: str = "tuned",
    tasks: Sequence[str] | None = None,
    seen: Sequence[str] | None = None,
    config: CompareConfig | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """A comparison for each task that a run evaluated under both names, written into <run>/compare and returned.

    It takes seconds, so it is always recomputed. tasks: those alone. seen: languages that were trained on; those of the
    run's training pairs when None. The runs of `config.against` are read from their folders, under the same names."""
    config = config or CompareConfig()
    names = (before, after)
    others = [existing_run(path) for path in config.against]
    folders = [member.path.resolve() for member in (run, *others)]
    if duplicates := [str(other.path) for other in others if folders.count(other.path.resolve()) > 1]:
        raise RunError(f"{duplicates[0]}: given twice", hint="name each run once")
    trained = [trained_runs(member, names, tasks) for member in (run, *others)]
    if seen is not None:
        trained[0] = [replace(member, seen=tuple(seen)) for member in trained[0]]
    by_task = _by_task(run, others, trained, config)
    settings = config.model_dump() | {
        "declared": [member.declared and vars(member.declared) for runs in trained for member in runs[:1]],
        "seen": list(training_languages(run) if seen is None else seen),
        "seed": seed,
        "before": {member.before.task: member.before.key for member in trained[0]},
        "after": {member.after.task: member.after.key for member in trained[0]},
        "others": {
            f"{Path(member.name).name} {member.after.task}": member.after.key for runs in trained for member in runs
        },
    }
    with run.stage("compare", settings, replace=True) as stage:
        comparisons = [compare_arms(runs, config=config, seed=seed) for runs in by_task.values()]
        evaluations = {task: (runs[0].before, runs[0].after) for task, runs in by_task.items()}
        comparisons = with_flip_analysis(run, names, comparisons, evaluations, config=config, seed=seed)
        comparisons = with_all_tasks(comparisons, config)
        write_comparisons(run.path / FOLDER, comparisons)
        stage.facts["tasks"] = [comparison.task for comparison in comparisons]
    return comparisons


def _by_task(
    run: Run, others: Sequence[Run], trained: Sequence[Sequence[TrainedRun]], config: CompareConfig
) -> dict[str, list[TrainedRun]]:
    """The runs by task, `run` first, folds joined; RunError where one of the others lacks a task of its."""
    if not trained[0]:
        hint = "`spillover evaluate` both models first"
        raise RunError(f"{run.path}: no task was evaluated on both sides", hint=hint)
    by_task = {first.after.task: [first] for first in trained[0]}
    for task, runs in by_task.items():
        for other, members in zip(others, trained[1:], strict=True):
            matching = [member for member in members if member.after.task == task]
            if not matching:
                raise RunError(
                    f"{other.path}: {task} was not evaluated there on both sides",
                    hint="evaluate it there, or leave that run out",
                )
            runs += matching
    return {task: with_joined_folds(runs, config) for task, runs in by_task.items()}


def trained_runs(run: Run, names: tuple[str, str], tasks: Sequence[str] | None = None) -> list[TrainedRun]:
    """The run on each task that it evaluated under both names, before and after; tasks: those alone."""
    manifest = run.manifest()
    stages = manifest["stages"]
    build = stages.get("build", {}).get("settings", {})
    train = stages.get("train", {}).get("settings", {})
    trained = [_without_seeds(build) | {"count": build.get("pairs")}, _without_seeds(train)]
    before, after = ({side.task: side for side in read_evaluations(run, name)} for name in names)
    return [
        TrainedRun(
            name=str(run.path),
            arm=str(build.get("arm") or run.path.name),
            # Of another base, or asked in another way, it is another result, not another seed.
            recipe=hash_of([*trained, *_asked(after[task]), before[task].model.fingerprint]),
            seed=int(train.get("seed", manifest.get("seed", 0))),
            seen=training_languages(run),
            before=before[task],
            after=after[task],
            declared=declared_measure(run),
            fold=stages.get(f"evaluate/{names[1]}/{task}", {}).get("settings", {}).get("fold", ""),
        )
        for task in before
        if task in after and (tasks is None or task in tasks)
    ]


def _asked(side: Evaluation) -> tuple[str, str]:
    """With which label words and shots the items were asked; "" for shots that are not known."""
    return side.label_set, side.experiment.shots if side.experiment else ""


def _without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in SEEDED}


def read_evaluations(run: Run, name: str) -> list[Evaluation]:
    """All tasks that a run evaluated under a name. RunError when there is none."""
    folders = run.evaluations(name)
    if not folders:
        raise RunError(
            f"{run.path}: no evaluation named {name!r}", hint="`spillover evaluate --name ...`, or --before, --after"
        )
    return [read_evaluation(folder.path) for folder in folders]


def training_languages(run: Run) -> tuple[str, ...]:
    """Source languages of the run's training pairs, from its manifest."""
    facts = run.manifest()["stages"].get("build", {}).get("facts", {})
    return tuple(facts.get("languages", ()))
