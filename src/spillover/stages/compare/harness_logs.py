"""lm-evaluation-harness: samples_<task>_<time>.jsonl, as `--log_samples` writes them.

1. Each line is one item under one filter, with the log-probabilities of its choices and the scores that the harness
   made of them. For `acc_mutual_info` as many stand behind them, of the choices without the question: no labels.
2. Where all items have the same choices, these are the labels. What follows from their log-probabilities must be the
   logged `acc`, item by item; else, and for other scores, each item's logged score is its outcome.
3. Items of a task that `spillover export lm-eval` wrote say themselves what they are (`exported_logs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.files import read_jsonl
from spillover.core.types import LabelScores
from spillover.stages.compare.exported_logs import ExportedTask, exported_scores, exported_task
from spillover.stages.compare.logged_scores import (
    LoggedScores,
    chosen_score,
    content_of,
    left_out_note,
    notes_on_choice,
    outcome_scores,
    outcomes_of,
    score_stem,
)
from spillover.tasks.harness_rows import HarnessRow, row_of_log

HINT = "give a samples_*.jsonl of --log_samples, or a folder of them"
NO_FILTER = "none"
UNLISTED = ("acc", "acc_norm", "exact_match", "f1")  # scores to look for in a row that does not list its own


@dataclass(frozen=True, slots=True)
class HarnessSample:
    """One item under one filter. choices, logprobs: empty where it was not scored by log-probability. content, prompt:
    the harness's hashes, "" where there are none. scores: by name; one that it lists and did not write is None.
    row: of an exported task, whose own id and hash are then the item's. asked: what stood before the first choice."""

    item: str
    line: int
    choices: tuple[str, ...]
    logprobs: tuple[float, ...]
    target: str
    content: str
    prompt: str
    scores: Mapping[str, Any]
    row: HarnessRow | None = None
    asked: str = ""


def read_harness_log(path: Path, code: str, metric: str | None) -> LoggedScores:
    """The scores in one file of samples, in the language `code`.

    metric: which score to read, see `chosen_score`. DataError names file and line.
    """
    samples = list(_samples(path))
    columns: dict[str, dict[str, Any]] = {}
    for sample in samples:
        for name, value in sample.scores.items():
            columns.setdefault(name, {})[sample.item] = value
    chosen = chosen_score(path, columns, metric)
    lines = {sample.item: sample.line for sample in samples if chosen in sample.scores}
    content = {sample.item: sample.content for sample in samples}
    outcomes = outcomes_of(columns[chosen], lambda item: f"{path}:{lines[item]}: {chosen}")
    exported, notes = _exported(path, samples)
    code = exported.language if exported else code
    if exported is None or score_stem(chosen) != "acc":
        notes += notes_on_choice(chosen, columns)
    if unscored := [item for item in content if item not in outcomes]:
        notes += (left_out_note(unscored, len(content), f"{'has' if len(unscored) == 1 else 'have'} no {chosen}"),)
    if not outcomes:
        raise DataError(f"{path}: no sample has {chosen}", hint="choose another score with --metric")
    prompts = {sample.item: sample.prompt for sample in samples if sample.prompt}
    if score_stem(chosen) == "acc":
        scored = [sample for sample in samples if chosen in sample.scores and sample.item in outcomes]
        scores, reason = _label_scores(code, scored, np.array([outcomes[sample.item] for sample in scored]))
        if scores is not None:
            return LoggedScores(chosen, scores, notes, prompts, exported)
        notes += (f"{reason}: {chosen} is read, without label scores",) if reason else ()
    return LoggedScores(chosen, outcome_scores(code, outcomes, content), notes, prompts, exported)


def _exported(path: Path, samples: Sequence[HarnessSample]) -> tuple[ExportedTask | None, tuple[str, ...]]:
    """(the exported task that these are samples of, a note where the model was asked something else than was exported);
    (None, none) where they are of another task."""
    rows = [sample.row for sample in samples if sample.row is not None]
    if not rows:
        return None, ()
    if len(rows) < len(samples):
        others = len(samples) - len(rows)
        raise DataError(f"{path}: {others} of {len(samples)} samples are not of the exported task", hint=HINT)
    if len({row.spillover.id for row in rows}) < len(rows):
        raise DataError(f"{path}: several samples are of one item", hint="log each task into a file of its own")
    changed = sum(sample.asked != row.prompt for sample, row in zip(samples, rows, strict=True))
    note = f"{changed} of {len(rows)} prompts are not the exported ones: a chat template, or other shots"
    return exported_task(rows, str(path), as_exported=not changed), (note,) if changed else ()


def _samples(path: Path) -> Iterable[HarnessSample]:
    lines: dict[tuple[str, str], int] = {}
    for line, row in read_jsonl(path):
        if "doc_id" not in row:
            raise DataError(f"{path}:{line}: no doc_id", hint=HINT)
        item, filter_name = str(row["doc_id"]), str(row.get("filter", NO_FILTER))
        first = lines.setdefault((item, filter_name), line)
        if first != line:
            raise DataError(f"{path}:{line}: duplicate doc_id {item}, first on line {first}", hint="log the task again")
        names = row.get("metrics")
        names = [str(name) for name in names] if isinstance(names, list) else [name for name in UNLISTED if name in row]
        suffix = "" if filter_name == NO_FILTER else f",{filter_name}"
        choices, logprobs, asked = _choices(row)
        exported = row_of_log(row.get("doc"), f"{path}:{line}")
        if "acc_mutual_info" in names and len(choices) % 2 == 0:
            half = len(choices) // 2
            choices, logprobs = choices[:half], logprobs[:half]
        content = str(row.get("doc_hash") or "")
        if exported is not None:
            item, content = exported.spillover.id, exported.spillover.content
        yield HarnessSample(
            item, line, choices, logprobs, str(row.get("target", "")).strip(), content,
            str(row.get("prompt_hash") or ""), {f"{name}{suffix}": row.get(name) for name in names}, exported, asked,
        )  # fmt: skip


def _choices(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[float, ...], str]:
    """(continuations, their log-probabilities, what stands before the first) of a row; empty where it holds none."""
    arguments, answers = row.get("arguments"), row.get("filtered_resps")
    calls = list(arguments.values()) if isinstance(arguments, dict) else arguments
    if not isinstance(calls, list) or not isinstance(answers, list):
        return (), (), ""
    try:
        parts = [(call["arg_0"], call["arg_1"]) if isinstance(call, dict) else (call[0], call[1]) for call in calls]
        logprobs = [float(answer[0] if isinstance(answer, list) else answer) for answer in answers]
    except (KeyError, IndexError, TypeError, ValueError):
        return (), (), ""
    texts = [text for _, text in parts]
    if not texts or len(texts) != len(logprobs) or not all(isinstance(text, str) for text in texts):
        return (), (), ""
    return tuple(text.strip() for text in texts), tuple(logprobs), str(parts[0][0])


def _label_scores(
    code: str, samples: Sequence[HarnessSample], acc: NDArray[np.float64]
) -> tuple[LabelScores | None, str]:
    """(scores of the shared choices, ""), or (None, why there are none; "" where the choices differ between items)."""
    rows = [sample.row for sample in samples if sample.row is not None]
    if rows:
        return _scores_of_exported(rows, [sample.logprobs for sample in samples], acc)
    labels = samples[0].choices
    if len(set(labels)) < 2 or len(set(labels)) < len(labels) or {sample.choices for sample in samples} != {labels}:
        return None, ""
    logprobs = np.array([sample.logprobs for sample in samples], dtype=np.float64)
    winners = logprobs.argmax(axis=1)  # the first of several, as in the harness
    if not (np.abs(logprobs) <= np.finfo(np.float32).max).all():
        return None, "not all log-probabilities of labels are finite"
    readings = [_gold(samples, targets) for targets in (labels, tuple(map(str, range(len(labels)))))]
    wrong = {int(((winners == gold) != acc).sum()): gold for gold in reversed(readings) if gold is not None}
    if 0 not in wrong:
        count = min(wrong, default=len(samples))
        return None, f"in {count} of {len(samples)} items the labels' log-probabilities do not give the logged acc"
    values = _with_one_best(logprobs, winners)
    unknown = np.zeros(values.shape, np.int32)  # numbers of tokens
    items = {sample.item: sample.content for sample in samples}
    return LabelScores(
        code, labels, tuple(items), wrong[0], values, unknown[:, 0], unknown, content=content_of(items, items)
    ), ""


def _scores_of_exported(
    rows: Sequence[HarnessRow], logprobs: Sequence[Sequence[float]], acc: NDArray[np.float64]
) -> tuple[LabelScores | None, str]:
    """The scores of exported items, or None and why there are none."""
    incomplete = sum(len(values) != len(row.choices) for row, values in zip(rows, logprobs, strict=True))
    if incomplete or not all(math.isfinite(value) for values in logprobs for value in values):
        return None, "not all answers have a finite log-probability"
    winners = [int(np.argmax(values)) for values in logprobs]  # the first of several, as in the harness
    if count := sum((winner == row.target) != hit for winner, row, hit in zip(winners, rows, acc, strict=True)):
        return None, f"in {count} of {len(rows)} items the answers' log-probabilities do not give the logged acc"
    return exported_scores(rows, logprobs), ""


def _gold(samples: Sequence[HarnessSample], targets: Sequence[str]) -> NDArray[np.int64] | None:
    """Index of each sample's target among `targets`: the choices themselves, or their indices. None where one is not
    among them. Where choices are digits both are possible, and the logged acc says which was meant."""
    if not {sample.target for sample in samples} <= set(targets):
        return None
    return np.array([targets.index(sample.target) for sample in samples], dtype=np.int64)


def _with_one_best(logprobs: NDArray[np.float64], winners: NDArray[np.int64]) -> NDArray[np.float32]:
    """[n, labels] as float32, in which the winner alone is best: labels that tie with it, in the log or by rounding,
    lose the last digit, since the harness counts the first of them."""
    values = logprobs.astype(np.float32)
    best = values[np.arange(len(values)), winners][:, None]
    rivals = values >= best
    rivals[np.arange(len(values)), winners] = False
    return np.where(rivals, np.nextafter(best, np.float32(-np.inf)), values)
