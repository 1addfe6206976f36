"""Eyes open while it trains: what is looked at, when it is stopped, and which checkpoint is kept.

1. The base is looked at first, then the model every `train.eval_every` steps and at the end.
2. Each sight goes into the loss history, and with it into steps.jsonl and every checkpoint: a resumed training has each
   line once.
3. When a sight says stop, the training ends after that step.
4. After each look the adapter is kept if it is the best so far by `train.best`. While the guard is on, one that holds
   the reference language within its margin is better than any that does not.

This stage knows nothing of evaluation: what a look is comes from outside, as a `Watch` (`spillover.in_training`).
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import transformers
from transformers.trainer_utils import IntervalStrategy

from spillover.core.config import TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.files import atomic_folder, plain
from spillover.core.types import LabelScores, Progress, no_progress
from spillover.models.load import Model
from spillover.stages.train.adapters import INITIAL, save_adapter

log = logging.getLogger(__name__)

VALIDATION = "validation_loss"


@dataclass(frozen=True)
class Measures:
    """One language at one look. group: english (the reference language), seen or unseen. n: items. auroc,
    calibrated_accuracy and mexa in [0, 1], NaN where undefined, as MEXA of the reference language with itself."""

    language: str
    group: str
    n: int
    auroc: float
    calibrated_accuracy: float
    mexa: float


@dataclass(frozen=True)
class Standing:
    """The reference language against the base, in AUROC. change: below 0 is a loss; high: what it is at most, at
    confidence 1 - size. p: one-sided, of "it lost no more than the margin". size: below which p stops the training."""

    language: str
    margin: float
    before: float
    after: float
    change: float
    high: float
    p: float
    size: float


@dataclass(frozen=True)
class Sight:
    """What one look at a model shows. stop: why the training must end, in words for a person; None to go on.
    scores: by language, for the sights that are compared with this one."""

    rows: tuple[Measures, ...]
    guard: Standing | None = None
    stop: str | None = None
    scores: Mapping[str, LabelScores] = field(default_factory=dict)


class Watch(Protocol):
    """Looks at a model. `settings`: all that decides what it sees, recorded with the training."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def __call__(self, model: Model, base: Sight | None = None, looks: int = 1) -> Sight:
        """base: the sight of the base, None when this is it. looks: how often the training will be looked at."""


def check_watch(config: TrainConfig, watch: Watch | None) -> None:
    """ConfigError when the config asks to watch and there is nothing to watch with, or the other way round."""
    if config.eval_every and watch is None:
        raise ConfigError(
            f"train.eval_every: {config.eval_every}, and nothing is given to watch with",
            hint="train(..., watch=spillover.in_training(task, seen=[...])), or leave train.eval_every out",
        )
    if not config.eval_every and watch is not None:
        raise ConfigError("watch is given, and train.eval_every is null", hint="TrainConfig(eval_every=50, ...)")
    if not config.eval_every and config.best != VALIDATION:
        raise ConfigError(f"train.best: {config.best} needs looks at the model", hint="--set train.eval_every=50")


class AlreadyStopped(Exception):
    """The guard had stopped this training before it was killed: there is nothing to go on with."""


class Watching(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Calls the watch, and does as it says. `folder`: for adapters that were best. `track`: given the numbers of each
    look by name, for the trackers of `train.report_to`."""

    def __init__(
        self, watch: Watch, base: Model, config: TrainConfig, folder: Path, progress: Progress = no_progress
    ) -> None:
        self.watch, self.base, self.config, self.folder, self.progress = watch, base, config, folder, progress
        self.first: Sight | None = None
        self.track: Callable[[dict[str, float]], None] = lambda _: None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if args.fsdp or args.deepspeed:
            raise ConfigError("train.eval_every needs the whole model on every device", hint="leave it out here")
        if state.global_step and best_step(state.log_history, self.config) == state.global_step:
            self._keep(state, model)  # a kill may have come between the checkpoint and the keeping
        if any(row.get("stop") for row in state.log_history):
            raise AlreadyStopped
        self.first = self.watch(self.base, None, self._looks(state))
        if not state.global_step:
            self._note(state, self.first)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if not self._due(state):
            return
        with as_for_scoring(model, self.base):
            sight = self.watch(replace(self.base, module=model), self.first, self._looks(state))
        self._note(state, sight)
        control.should_save = True
        control.should_evaluate = args.eval_strategy != IntervalStrategy.NO
        if sight.stop:
            log.warning("step %d: %s", state.global_step, sight.stop)
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if best_step(state.log_history, self.config) == state.global_step:
            self._keep(state, model)

    def _due(self, state: Any) -> bool:
        return bool(state.global_step % (self.config.eval_every or 1) == 0 or state.global_step == state.max_steps)

    def _looks(self, state: Any) -> int:
        return math.ceil(int(state.max_steps) / (self.config.eval_every or 1))

    def _note(self, state: Any, sight: Sight) -> None:
        done = math.ceil(state.global_step / (self.config.eval_every or 1))
        self.progress("watch", done, self._looks(state))
        state.log_history.append({"step": state.global_step} | plain(facts_of(sight)))
        self.track(numbers_of(sight))

    def _keep(self, state: Any, model: Any) -> None:
        """Two are kept: if the newest checkpoint is damaged, the training goes on from the one before."""
        if state.is_world_process_zero:
            save_adapter(model, self.base, self.folder / f"best-{state.global_step}", self.folder.parent / INITIAL)
            kept = sorted(self.folder.glob("best-*"), key=lambda path: int(path.name.rpartition("-")[2]))
            for old in kept[:-2]:
                shutil.rmtree(old)


@contextmanager
def as_for_scoring(module: Any, base: Model) -> Iterator[None]:
    """Within the block a module in training is one to score with: no dropout, and its base's own attention."""
    plain, training = module.get_base_model(), module.training
    learning = plain.config._attn_implementation
    module.eval()
    if plain._can_set_attn_implementation():
        plain.set_attn_implementation(base.module.config._attn_implementation)
    try:
        yield
    finally:
        module.train(training)
        if plain._can_set_attn_implementation():
            plain.set_attn_implementation(learning)


def take_best(history: Sequence[Mapping[str, Any]], config: TrainConfig, checkpoints: Path, adapter: Path) -> None:
    """The adapter that was kept becomes the training's."""
    with atomic_folder(adapter) as partial:
        shutil.copytree(checkpoints / f"best-{best_step(history, config)}", partial, dirs_exist_ok=True)


def facts_of(sight: Sight) -> dict[str, Any]:
    """A sight as a line of steps.jsonl: `watch`, a list of measures by language, `guard` and `stop`."""
    return {
        "watch": [asdict(row) for row in sight.rows],
        "guard": asdict(sight.guard) if sight.guard else None,
        "stop": sight.stop,
    }


def numbers_of(sight: Sight) -> dict[str, float]:
    """A sight as a tracker takes it: one number by name, `watch_de_auroc`; without those that are undefined."""
    found = {
        f"watch_{row.language}_{name}": float(getattr(row, name))
        for row in sight.rows
        for name in ("auroc", "calibrated_accuracy", "mexa")
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def best_step(history: Sequence[Mapping[str, Any]], config: TrainConfig) -> int | None:
    """The watched step whose adapter is kept, of those in the history; the base, step 0, is none of them."""
    losses = {row["step"]: -row["eval_loss"] for row in history if "eval_loss" in row}
    ranks: dict[int, tuple[float, float]] = {}
    for row in history:
        if "watch" in row and row["step"]:
            guard = row["guard"]
            short = 0.0 if guard is None or guard["change"] is None else min(0.0, guard["change"] + guard["margin"])
            quality = losses.get(row["step"]) if config.best == VALIDATION else quantity(row["watch"], config.best)
            # Without validation pairs there is nothing to choose by, and the last one is kept.
            ranks[row["step"]] = (short, row["step"] if quality is None else quality)
    return max(ranks, key=lambda step: ranks[step], default=None)


def quantity(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """The mean of a measure over a group of languages, `name` as in auroc.unseen. -inf when no language has it."""
    measure, _, group = name.partition(".")
    values = [row[measure] for row in rows if group in ("all", row["group"]) and row[measure] is not None]
    return sum(values) / len(values) if values else -math.inf


def outcome(history: Sequence[Mapping[str, Any]], config: TrainConfig) -> dict[str, Any]:
    """What the manifest says of a watched training: which step was kept, by what, and why it was stopped, if it was."""
    step = best_step(history, config)
    looks = {row["step"]: row for row in history if "watch" in row}
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    value = losses.get(step) if config.best == VALIDATION else quantity(looks[step or 0]["watch"], config.best)
    facts: dict[str, Any] = {"best": {"step": step, "quantity": config.best, "value": value}}
    facts["best"]["guard"] = looks[step or 0]["guard"]
    if config.best != VALIDATION:
        facts["best"]["base"] = quantity(looks[0]["watch"], config.best)
    stopped = next((row for row in looks.values() if row["stop"]), None)
    if stopped:
        facts["stopped"] = {"step": stopped["step"], "why": stopped["stop"]} | dict(stopped["guard"] or {})
    return facts
