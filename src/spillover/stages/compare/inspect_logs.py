"""inspect_ai: a .json log, or an .eval one (a zip of JSON parts).

1. Samples that ended in an error or were not scored are counted and named; an item without a score is left out.
2. An item's score is the log's own reduction over epochs; where the log holds none, the mean over its epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.errors import DataError
from spillover.core.files import hash_of, read_json
from spillover.stages.compare.format import listed
from spillover.stages.compare.logged_scores import (
    LoggedScores,
    chosen_score,
    left_out_note,
    notes_on_choice,
    outcome_scores,
    outcomes_of,
)
from spillover.stages.compare.zip_parts import open_zip

HINT = "give a log of inspect_ai, .json or .eval"
RETRY_HINT = "`inspect eval-retry LOG` completes it"


@dataclass(frozen=True, slots=True)
class InspectSample:
    """One item in one epoch. scores: raw value by the scorer's name; content: hash of the input."""

    item: str
    epoch: int
    failed: bool
    scores: Mapping[str, Any]
    content: str


@dataclass(frozen=True)
class InspectLog:
    """What is read of a log. reductions: by scorer and reducer, by item; empty where the log holds none."""

    path: Path
    task: str
    model: str
    samples: Sequence[InspectSample]
    reductions: Mapping[str, Mapping[str, Any]]


def read_inspect_log(path: Path) -> InspectLog:
    """The log in a file. DataError when it is damaged, or when its run did not end well."""
    if path.suffix == ".json":
        log = read_json(path)
        if not isinstance(log, dict):
            raise DataError(f"{path}: not an inspect_ai log", hint=HINT)
        samples = log.get("samples")
        return _log(path, log, samples if isinstance(samples, list) else [], log.get("reductions"))
    hint = f"`inspect log convert --to json --output-dir logs {path.name}` writes one that is"
    with open_zip(path, hint=hint) as parts:
        if "header.json" not in parts.names:
            started = any(name.startswith("_journal/") for name in parts.names)
            reason, hint = ("the run has not ended", RETRY_HINT) if started else ("not an inspect_ai log", HINT)
            raise DataError(f"{path}: {reason}", hint=hint)
        reductions = parts.json("reductions.json") if "reductions.json" in parts.names else None
        unpacked = (parts.json(name) for name in parts.names if name.startswith("samples/"))
        return _log(path, parts.json("header.json"), unpacked, reductions)


def inspect_scores(log: InspectLog, code: str, metric: str | None) -> LoggedScores:
    """The scores of a log, in the language `code`. metric: which score to read, see `chosen_score`."""
    columns = log.reductions or _mean_over_epochs(log)
    chosen = chosen_score(log.path, columns, metric)
    outcomes = outcomes_of(columns[chosen], lambda item: f"{log.path}: sample {item}: {chosen}")
    if not outcomes:
        raise DataError(f"{log.path}: no sample has {chosen}", hint="choose another score with --metric")
    notes = list(notes_on_choice(chosen, columns))
    if not log.reductions and any(sample.epoch > 1 for sample in log.samples):
        notes.append("the log holds no reductions: each item counts by the mean over its epochs")
    notes += _notes_on_samples(log.samples, outcomes, chosen)
    content = {sample.item: sample.content for sample in log.samples}
    return LoggedScores(chosen, outcome_scores(code, outcomes, content), tuple(notes))


def _log(path: Path, header: Any, samples: Iterable[Any], reductions: Any) -> InspectLog:
    facts = header.get("eval") if isinstance(header, dict) else None
    if not isinstance(facts, dict) or not isinstance(facts.get("task"), str):
        raise DataError(f"{path}: not an inspect_ai log", hint=HINT)
    status = header.get("status", "success")
    if status != "success":
        raise DataError(f"{path}: the run did not end well, its status is {status!r}", hint=RETRY_HINT)
    read = [_sample(path, sample) for sample in samples]
    if not read:
        raise DataError(f"{path}: no samples found", hint="run it again, without --no-log-samples")
    task = facts["task"].rpartition("/")[2]
    return InspectLog(path, task, str(facts.get("model", path.stem)), read, _reductions(path, reductions))


def _sample(path: Path, sample: Any) -> InspectSample:
    scores = sample.get("scores") or {} if isinstance(sample, dict) else None
    if scores is None or "id" not in sample or not isinstance(scores, dict):
        raise DataError(f"{path}: a sample without an id", hint=HINT)
    values: dict[str, Any] = {}
    for name, score in scores.items():
        values |= _by_key(name, score.get("value") if isinstance(score, dict) else score)
    epoch = sample.get("epoch")
    return InspectSample(
        str(sample["id"]), epoch if isinstance(epoch, int) else 1, bool(sample.get("error")), values,
        hash_of(_without_ids(sample["input"])) if sample.get("input") else "",
    )  # fmt: skip


def _by_key(name: str, value: Any) -> dict[str, Any]:
    """A score by its name; one that is a mapping as a score for each key."""
    return {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}


def _without_ids(messages: Any) -> Any:
    """An input as text, or as the role and content of its messages: each run gives them other ids."""
    if not isinstance(messages, list):
        return messages
    return [
        [message.get("role"), message.get("content")] if isinstance(message, dict) else message for message in messages
    ]


def _reductions(path: Path, reductions: Any) -> dict[str, dict[str, Any]]:
    columns: dict[str, dict[str, Any]] = {}
    try:
        for reduction in reductions or []:
            reducer = reduction.get("reducer")
            suffix = f",{reducer}" if reducer else ""
            for score in reduction["samples"]:
                for name, value in _by_key(reduction["scorer"], score["value"]).items():
                    columns.setdefault(f"{name}{suffix}", {})[str(score["sample_id"])] = value
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: its reductions cannot be read", hint="`inspect score LOG` writes them again"
        ) from None
    return columns


def _mean_over_epochs(log: InspectLog) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, dict[str, Any]]] = {}
    for sample in log.samples:
        for name, value in sample.scores.items():
            values.setdefault(name, {}).setdefault(sample.item, {})[f"{sample.item}, epoch {sample.epoch}"] = value
    where = f"{log.path}: sample "
    columns: dict[str, dict[str, float]] = {}
    for name, items in values.items():
        for item, epochs in items.items():
            outcomes = outcomes_of(epochs, lambda epoch: f"{where}{epoch}")
            columns.setdefault(name, {})[item] = float(np.mean(list(outcomes.values()))) if outcomes else np.nan
    return columns


def _notes_on_samples(samples: Sequence[InspectSample], outcomes: Mapping[str, float], chosen: str) -> list[str]:
    """Samples that failed, and those that nobody scored."""
    failed = list(dict.fromkeys(sample.item for sample in samples if sample.failed))
    unscored = list(dict.fromkeys(sample.item for sample in samples if sample.item not in outcomes))
    lost = [item for item in unscored if item in failed]
    kept = [item for item in failed if item in outcomes]
    others = [item for item in unscored if item not in failed]
    notes = []
    if lost:
        notes.append(left_out_note(lost, len(samples), "ended in an error"))
    if kept:
        count = sum(sample.failed for sample in samples if sample.item in kept)
        items = "the item" if len(kept) == 1 else "the items"
        notes.append(f"{count} of {len(samples)} samples ended in an error, and the log scores {items}: {listed(kept)}")
    if others:
        notes.append(left_out_note(others, len(samples), f"{'has' if len(others) == 1 else 'have'} no {chosen}"))
    return notes
