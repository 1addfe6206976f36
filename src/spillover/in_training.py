"""What a training looks at while it learns: a few items in the reference language, in those trained on and in others.

1. Choose languages and items, the same items in all languages; none of the final evaluation's, if there are enough.
2. Score them with the engine, keeping the hidden states: AUROC, calibrated accuracy, and MEXA against the reference.
3. Guard: the one-sided paired test (DeLong) that the reference language's AUROC fell by more than the margin, its size
   divided by the number of looks (Bonferroni), so that all looks together stop a harmless training seldom enough.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig, EvaluateConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.files import hash_files, hash_of
from spillover.core.languages import language, reference_language, select_languages
from spillover.core.types import LabelScores, Prompt, Task
from spillover.stages.evaluate.stage import assemble
from spillover.stages.train.eval_callback import Measures, Sight, Standing
from spillover.stats.contributions import contributions_of
from spillover.stats.intervals import noninferiority_test
from spillover.stats.similarity import mexa
from spillover.stats.summary import auroc, measures
from spillover.tasks.examples import draw_ids, language_files, load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task

if TYPE_CHECKING:
    from spillover.models.load import Model

log = logging.getLogger(__name__)

# So many languages that are not trained on are looked at unless they are named.
UNSEEN = 3
# So many items that the evaluation leaves are enough for the guard, when there are not as many as it would like.
ENOUGH = 200


@dataclass(frozen=True)
class LanguageWatch:
    """Looks at the items of `prompts`, by language, in one order; languages with fewer items have the first ones' ids
    too. settings: what decides what is seen."""

    task: Task
    prompts: Mapping[str, Sequence[Prompt]]
    seen: tuple[str, ...]
    guard: bool
    margin: float
    level: float
    evaluate: EvaluateConfig
    settings: Mapping[str, Any]

    def __call__(self, model: Model, base: Sight | None = None, looks: int = 1) -> Sight:
        """The sight of a model. base: what the guard compares it with."""
        from spillover.models.engine import open_engine

        # Hidden states of all layers are kept beside the scores.
        half = max(1, self.evaluate.batch_tokens // 2)
        engine = open_engine(model, self.evaluate.model_copy(update={"batch_tokens": half}))
        plans = {code: engine.plan(prompts) for code, prompts in self.prompts.items()}
        if base is None:
            tokens = sum(plan.computed for plan in plans.values())
            items = sum(map(len, self.prompts.values()))
            seconds = tokens / engine.tokens_per_second(next(iter(plans.values())))
            log.info(
                "watch: %d items in %d languages, %s tokens or about %.0f s a look, %d looks",
                items, len(plans), f"{tokens:,}", seconds, looks + 1,
            )  # fmt: skip
        scores: dict[str, LabelScores] = {}
        states: dict[str, NDArray[np.float32]] = {}
        for code, plan in plans.items():
            batches = list(engine.score(plan, states=True))
            scores[code] = assemble(self.task, plan.prompts, batches)
            order = np.argsort(np.concatenate([batch.index for batch in batches]))
            states[code] = np.concatenate([batch.states.mean for batch in batches if batch.states])[order]
        rows = tuple(self._measures(code, scores[code], states) for code in plans)
        standing = self._standing(base, scores, looks) if self.guard and base else None
        return Sight(rows, standing, stop_line(standing), scores)

    def _measures(self, code: str, scores: LabelScores, states: Mapping[str, NDArray[np.float32]]) -> Measures:
        reference = reference_language()
        group = "english" if code == reference else "seen" if code in self.seen else "unseen"
        alignment = float("nan")
        if code != reference and reference in states:
            place = {prompt.example_id: i for i, prompt in enumerate(self.prompts[reference])}
            same = states[reference][[place[example_id] for example_id in scores.example_ids]]
            layers = range(same.shape[1])
            # The embedding is left out: it knows no context, and shared words alone would align it.
            alignment = max(mexa(states[code][:, layer], same[:, layer]) for layer in layers[1:])
        found = measures(scores)
        return Measures(code, group, len(scores.gold), found["auroc"], found["calibrated_accuracy"], alignment)

    def _standing(self, base: Sight, scores: Mapping[str, LabelScores], looks: int) -> Standing:
        code = reference_language()
        before, after = base.scores[code], scores[code]
        size = (1 - self.level) / looks
        change, high, p = noninferiority_test(contributions_of(before, after)["auroc"], self.margin, size)
        return Standing(
            code, self.margin, auroc(before), auroc(after), change, high, p, size
        )  # fmt: skip


def stop_line(standing: Standing | None) -> str | None:
    """Why the training must stop, for a person; None when it may go on."""
    if standing is None or not standing.p < standing.size:
        return None
    name = language(standing.language).name
    return (
        f"{name} fell below its margin: AUROC {standing.before:.3f} → {standing.after:.3f}, "
        f"a loss of at least {-standing.high:.3f} (one-sided p {standing.p:.2g} < {standing.size:.2g}) where "
        f"{standing.margin:g} is allowed; the training stops here"
    )


def watch(
    task: str = "sentiment",
    *,
    seen: Sequence[str],
    data: str = "demo",
    languages: str | Sequence[str] = "all",
    limit: int | None = None,
    seed: int = 0,
    config: TrainConfig | None = None,
    evaluate: EvaluateConfig | None = None,
    compare: CompareConfig | None = None,
) -> LanguageWatch:
    """What `train(..., watch=...)` looks at. seen: the languages that are trained on.

    languages, limit, seed: of the evaluation that follows, whose items are left alone where there are others.
    config: `guard`, `best` and `watch_...`; compare: the guard's `margin` and `level`.
    ConfigError when a language is not in the data, or the guard or `config.best` asks for what is not looked at.
    """
    config, evaluate, compare = config or TrainConfig(), evaluate or EvaluateConfig(), compare or CompareConfig()
    wording = load_task(task)
    files = language_files(data, wording, "test")
    usable = [code for code in files if code in wording.wordings]
    evaluated = select_languages(languages, usable, where=f"languages of {data}")
    codes = _languages(config, usable, evaluated, seen)
    _check(config, codes, seen, data)
    options = evaluate.model_dump(include={"missing_items", "disagreeing_labels"})
    final = load_parallel(data, wording, "test", evaluated, limit=limit, seed=seed, **options)
    rows = load_parallel(data, wording, "test", codes, **options)
    ids, overlap = _items(rows[codes[0]], {row.id for row in final[evaluated[0]]}, config, seed)
    few = draw_ids(ids, {row.id: row for row in rows[codes[0]]}, config.watch_items, np.random.default_rng(seed))
    prompts = {}
    for code in codes:
        chosen = set(ids if code == reference_language() else few)
        own = [row for row in rows[code] if row.id in chosen]
        prompts[code] = render(wording, own, label_set=evaluate.labels, shots=evaluate.shots)
    if overlap:
        log.info("watch: %d of %d items are items of the final evaluation too: there are not enough", overlap, len(ids))
    settings = {
        "task": wording.name,
        "wording": wording.fingerprint,
        "data": {code: hash_files([files[code]]) for code in codes},
        "seen": sorted(set(seen) & set(codes)),
        "items": hash_of(ids),
        "reference_items": len(ids),
        "items_per_language": len(few),
        "items_also_evaluated": overlap,
        "labels": evaluate.labels,
        "shots": evaluate.shots,
        "rule": evaluate.rule,
        "margin": compare.margin,
        "level": compare.level,
    }
    guard = config.guard is not None
    return LanguageWatch(wording, prompts, tuple(seen), guard, compare.margin, compare.level, evaluate, settings)


def _languages(
    config: TrainConfig, usable: Sequence[str], evaluated: Sequence[str], seen: Sequence[str]
) -> tuple[str, ...]:
    """The languages to look at, the reference language first."""
    reference = reference_language()
    if config.watch_languages is not None:
        codes = select_languages(config.watch_languages, usable, seen=seen, where="train.watch_languages")
    else:
        codes = tuple(code for code in usable if code == reference or code in seen)
        codes += _unlike(codes, [code for code in evaluated if code not in codes])
    return tuple(sorted(codes, key=lambda code: code != reference))


def _unlike(there: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Up to UNSEEN of the others: first those in scripts that are not there yet, one of each, then the rest."""
    scripts = {language(code).script for code in there}
    first = []
    for code in others:
        if language(code).script not in scripts:
            scripts.add(language(code).script)
            first.append(code)
    return tuple([*first, *(code for code in others if code not in first)][:UNSEEN])


def _check(config: TrainConfig, codes: Sequence[str], seen: Sequence[str], data: str) -> None:
    reference = reference_language()
    if config.guard and reference not in codes:
        raise ConfigError(
            f"train.guard: {config.guard}: {data} has no {reference} items to watch",
            hint="--set train.guard=null, or add it to train.watch_languages",
        )
    group = config.best.partition(".")[2]
    there = {reference if code == reference else "seen" if code in seen else "unseen" for code in codes}
    wanted = reference if group == "english" else group
    if group and group != "all" and wanted not in there:
        raise ConfigError(
            f"train.best: {config.best}: no such language is watched ({', '.join(codes)})",
            hint="add one to train.watch_languages",
        )


def _items(rows: Sequence[Any], evaluated: set[str], config: TrainConfig, seed: int) -> tuple[list[str], int]:
    """(ids for the reference language, how many of them are evaluated too): from what the evaluation leaves, if that
    is enough, balanced over the labels."""
    wanted = max(config.watch_reference_items, config.watch_items)
    left = [row.id for row in rows if row.id not in evaluated]
    enough = len(left) >= min(wanted, max(ENOUGH, config.watch_items))
    pool = left if enough else [row.id for row in rows]
    ids = draw_ids(pool, {row.id: row for row in rows}, wanted, np.random.default_rng(seed))
    return ids, sum(example_id in evaluated for example_id in ids)
