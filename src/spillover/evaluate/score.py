"""Prompts × engine → tables.

1. Load the items of all languages, aligned by id, and render them.
2. Score language by language. Every finished batch is appended to a file beside the table, so a kill loses at most
   the batch in flight; on resume the batches are planned in the same way, so the table comes out the same.
3. Write the table and drop the batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.config import EvaluateConfig
from spillover.core.files import hash_files, hash_of
from spillover.core.languages import select_languages
from spillover.core.runs import open_run
from spillover.core.types import (
    CalibrationScores,
    Engine,
    Evaluation,
    LabelScores,
    Progress,
    Prompt,
    ScoredBatch,
    Task,
    no_progress,
)
from spillover.evaluate.tables import facts_of, read_scores, write_scores
from spillover.models.engine import open_engine
from spillover.models.load import Model
from spillover.tasks.examples import language_files, load_parallel
from spillover.tasks.prompts import answer_prompt, content_free, render
from spillover.tasks.wording import load_task

RULE = "exact"


def evaluate(
    model: Model,
    task: str,
    *,
    data: str = "demo",
    languages: str | Sequence[str] = "all",
    limit: int | None = None,
    seed: int = 0,
    config: EvaluateConfig | None = None,
    out: Path | str | None = None,
    name: str | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Log-probabilities of every label for every item, by language.

    task: bundled name or folder. data: "demo" or a folder. languages: "all", codes, or "zh,de". limit: items per
    language. out: a run folder; tables go to `<out>/evaluate/<name>/<task>`, and what is there is not computed again.
    name: base or tuned unless given, by whether the model has an adapter.
    """
    config = config or EvaluateConfig()
    wording = load_task(task)
    files = language_files(data, wording, "test")
    available = [code for code in files if code in wording.wordings] if languages == "all" else list(files)
    codes = select_languages(languages, available, where=f"languages of {data}")
    examples = load_parallel(
        data,
        wording,
        "test",
        codes,
        limit=limit,
        seed=seed,
        missing_items=config.missing_items,
        disagreeing_labels=config.disagreeing_labels,
    )
    settings = {
        "model": model.ref.fingerprint,
        "dtype": str(model.dtype).removeprefix("torch."),
        "wording": wording.fingerprint,
        "data": {code: hash_files([files[code]]) for code in codes},
        "limit": limit,
        "seed": seed if limit else None,
        "rule": RULE,
    } | config.model_dump(exclude={"batch_tokens"})
    evaluation = Evaluation(model.ref, wording.name, config.labels, hash_of(settings), {})
    prompts = {
        code: render(wording, rows, label_set=config.labels, shots=config.shots) for code, rows in examples.items()
    }
    engine = open_engine(model, batch_tokens=config.batch_tokens, prefix_cache=config.prefix_cache)
    bar = _Bar(progress, f"evaluate {name or ''} {wording.name}".replace("  ", " "), sum(map(len, prompts.values())))
    free = config.content_free
    if out is None:
        scores = {
            code: score_language(engine, wording, rows, None, evaluation, bar, free) for code, rows in prompts.items()
        }
        return Evaluation(model.ref, wording.name, config.labels, evaluation.key, scores)
    name = name or ("tuned" if model.ref.adapter else "base")
    run = open_run(out)
    folder = run.path / "evaluate" / name / wording.name
    with run.stage(f"evaluate/{name}/{wording.name}", settings) as stage:
        scores = {
            code: score_language(engine, wording, rows, folder / f"{code}.parquet", evaluation, bar, free)
            for code, rows in prompts.items()
        }
        stage.facts |= {
            "items": sum(map(len, prompts.values())),
            "prompt_tokens": int(sum(own.tokens.sum() for own in scores.values())),
        }
    return Evaluation(model.ref, wording.name, config.labels, evaluation.key, scores)


class _Bar:
    """Adds up finished items over languages for a progress bar."""

    def __init__(self, progress: Progress, activity: str, total: int) -> None:
        self.progress, self.activity, self.total, self.done = progress, activity, total, 0
        progress(activity, 0, total)

    def add(self, items: int) -> None:
        self.done = min(self.done + items, self.total)
        self.progress(self.activity, self.done, self.total)


def score_language(
    engine: Engine,
    task: Task,
    prompts: Sequence[Prompt],
    path: Path | None,
    evaluation: Evaluation,
    bar: _Bar,
    free: Sequence[str] = (),
) -> LabelScores:
    """Scores of one language, from its table when that is finished, else from the engine and then into the table.

    free: inputs without content, scored as further items behind the same shots.
    """
    if path is not None and path.exists():
        scores, facts = read_scores(path)
        if facts["key"] == evaluation.key:
            bar.add(len(prompts))
            return scores
    batches_path = path.with_suffix(".batches.jsonl") if path else None
    batches = _read_batches(batches_path, evaluation.key) if batches_path else {}
    bar.add(sum(len(batch.index) for batch in batches.values()))
    asked = [*prompts, *content_free(task, prompts[0], free)]
    for number, batch in engine.score(asked, skip=frozenset(batches)):
        batches[number] = batch
        if batches_path:
            _append_batch(batches_path, evaluation.key, number, batch)
        bar.add(len(batch.index))
    scores = _assemble(task, prompts, list(batches.values()))
    scores = replace(scores, calibration=_calibration(engine, task, prompts[0], len(prompts), list(batches.values())))
    if path and batches_path:
        write_scores(path, scores, facts_of(evaluation))
        batches_path.unlink(missing_ok=True)
    return scores


def _assemble(task: Task, prompts: Sequence[Prompt], batches: Sequence[ScoredBatch]) -> LabelScores:
    """Batches put back into the order of the prompts; what comes after these is left out."""
    index = np.concatenate([batch.index for batch in batches])
    order = np.argsort(index)[: len(prompts)]
    return LabelScores(
        language=prompts[0].language,
        labels=task.labels,
        example_ids=tuple(prompt.example_id for prompt in prompts),
        gold=np.array([task.labels.index(prompt.gold or "") for prompt in prompts], dtype=np.int64),
        logprobs=np.concatenate([batch.logprobs for batch in batches])[order],
        tokens=np.concatenate([batch.tokens for batch in batches])[order],
        label_tokens=np.concatenate([batch.label_tokens for batch in batches])[order],
    )


def _calibration(
    engine: Engine, task: Task, prompt: Prompt, items: int, batches: Sequence[ScoredBatch]
) -> CalibrationScores:
    """From the items that follow the first `items`, and from the answer prompt, which costs a few tokens."""
    index = np.concatenate([batch.index for batch in batches])
    order = np.argsort(index)[items:]
    alone = next(engine.score([answer_prompt(task, prompt)]))[1]
    return CalibrationScores(
        content_free=np.concatenate([batch.logprobs for batch in batches])[order],
        answer_prompt=alone.logprobs[0],
        label_bytes=np.array([len(word.encode()) for word in prompt.answers], dtype=np.int32),
    )


def _append_batch(path: Path, key: str, number: int, batch: ScoredBatch) -> None:
    row = {
        "key": key,
        "batch": number,
        "index": list(batch.index),
        "logprobs": batch.logprobs.astype(float).tolist(),  # float64 text gives the same float32 back
        "tokens": batch.tokens.tolist(),
        "label_tokens": batch.label_tokens.tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _read_batches(path: Path, key: str) -> dict[int, ScoredBatch]:
    """Finished batches by number. A last line that a kill cut short is dropped, and so is what has another key."""
    if not path.exists():
        return {}
    batches = {}
    whole = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row: Mapping[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["key"] != key:
            continue
        whole.append(line)
        batches[int(row["batch"])] = ScoredBatch(
            tuple(row["index"]),
            np.array(row["logprobs"], dtype=np.float32),
            np.array(row["tokens"], dtype=np.int32),
            np.array(row["label_tokens"], dtype=np.int32),
        )
    # Rewritten, so that the next line does not continue one that was cut short.
    path.write_text("".join(line + "\n" for line in whole), encoding="utf-8")
    return batches
