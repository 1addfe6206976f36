"""Hidden states on disk: `<run>/probe/<model>/states/index.json` and a safetensors file per batch.

1. The engine scores the items in batches and returns the pooled states of the same pass (`core.types.States`).
2. Each batch is written as one chunk: per pooling [layers, b, hidden] in float16, each layer divided by a power of two
   (`<pooling>.scale` [layers]) where its largest value would overflow; and what `measure` computed from the batch.
3. The index names a chunk only when it is complete: a kill loses at most the batch in flight, and the same call
   resumes.

One batch is in memory at a time. `SavedStates` reads one layer of one pooling at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from spillover.core.errors import ConfigError, DataError, ModelError, RunError
from spillover.core.files import atomic, read_json, write_json
from spillover.core.types import Progress, ScoredBatch, no_progress
from spillover.models.batching import Plan
from spillover.models.engine import Engine
from spillover.stages.probe.parallel_states import ParallelStates

POOLINGS = ("last", "mean", "all", "weighted")
FLOAT16_MAX = 65504.0
INDEX = "index.json"

Measure = Callable[[str, Plan, ScoredBatch], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class SavedStates:
    """Finished states of one model on one task. Open them with `open_states`.

    languages: codes. example_ids: [items], the same in every language. layers: those kept, 0 is the embedding. chunks:
    by language, the file of each batch and the positions of its items.
    """

    folder: Path
    model: str
    task: str
    languages: tuple[str, ...]
    example_ids: tuple[str, ...]
    layers: tuple[int, ...]
    hidden: int
    chunks: Mapping[str, Sequence[Mapping[str, Any]]]

    def read(self, pooling: str, layer: int) -> dict[str, NDArray[np.float32]]:
        """[items, hidden] by language, in the order of `example_ids`. ConfigError for an unknown layer or pooling."""
        if pooling not in POOLINGS:
            raise ConfigError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        number = self.layers.index(check_layer(layer, self.layers))
        return {code: self._assemble(code, lambda file: _layer(file, pooling, number)) for code in self.languages}

    def parallel(self, poolings: Sequence[str]) -> ParallelStates:
        """The states of these poolings and all layers, with the items' lengths in tokens."""
        return ParallelStates(self.read, self.extra("own_tokens"), self.example_ids, poolings, self.layers)

    def extra(self, name: str) -> dict[str, NDArray[Any]]:
        """[items, ...] by language: `tokens` of the whole prompt, `own_tokens` after the shared prefix, or an array
        that was measured in the same pass."""
        return {code: self.extra_of(code, name) for code in self.languages}

    def extra_of(self, code: str, name: str) -> NDArray[Any]:
        """[items, ...] of one language."""
        return self._assemble(code, lambda file: file.get_tensor(name))

    def _assemble(self, code: str, read: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        parts: list[NDArray[Any]] = []
        index: list[int] = []
        for chunk in self.chunks[code]:
            with safe_open(self.folder / chunk["file"], framework="numpy") as file:
                parts.append(read(file))
            index += chunk["index"]
        return np.concatenate(parts)[np.argsort(index)]


def check_layer(layer: int, layers: Sequence[int]) -> int:
    """The layer; ConfigError when it is not among `layers`."""
    if layer not in layers:
        available = f"{layers[0]} (the embedding)" if layers[0] == 0 else str(layers[0])
        raise ConfigError(f"layer {layer} is not available", hint=f"{available} to {layers[-1]}, {len(layers)} in all")
    return layer


def open_states(folder: Path, *, fingerprint: str | None = None) -> SavedStates:
    """The states in a folder. RunError when there are none, they are unfinished, or of another model than
    `fingerprint`; DataError when the languages do not hold the same items."""
    if not (folder / INDEX).is_file():
        raise RunError(f"{folder}: no hidden states found", hint="`spillover probe` computes them")
    index = read_json(folder / INDEX)
    if fingerprint is not None and index["model"] != fingerprint:
        raise RunError(
            f"{folder}: states of the model {index['model']}, not of {fingerprint}",
            hint="give the model that they were computed with, or probe again under another --name",
        )
    ids = {code: tuple(language_ids) for code, language_ids in index["example_ids"].items()}
    first = next(iter(ids.values()))
    for code, language_ids in ids.items():
        if language_ids != first:
            raise DataError(f"{folder}: {code} has other items than {next(iter(ids))}", hint="probe again")
    unfinished = [code for code in ids if sum(len(chunk["index"]) for chunk in index["chunks"][code]) < len(first)]
    if unfinished:
        raise RunError(f"{folder}: unfinished in {', '.join(unfinished)}", hint="rerun `spillover probe` to resume")
    layers = tuple(index["layers"])
    return SavedStates(
        folder, index["model"], index["task"], tuple(ids), first, layers, index["hidden"], index["chunks"]
    )


def collect(
    engine: Engine,
    plans: Mapping[str, Plan],
    folder: Path,
    *,
    key: str,
    model: str,
    task: str,
    layers: Sequence[int],
    measure: Measure | None = None,
    activity: str = "probe",
    progress: Progress = no_progress,
) -> SavedStates:
    """Run every item of the plans (by language) through the engine once, and save its states in `folder`.

    key: a hash of everything the states are computed from; chunks with the same key are reused. layers: which to keep.
    measure: further arrays [b, ...] by name, computed from each batch. ModelError when the engine has no states.
    """
    index = _start(folder, key, plans) | {"model": model, "task": task, "layers": list(layers)}
    chunks = index["chunks"]
    done = sum(len(chunk["index"]) for language_chunks in chunks.values() for chunk in language_chunks)
    total = sum(len(plan.items) for plan in plans.values())
    progress(activity, done, total)
    for code, plan in plans.items():
        finished = frozenset(i for chunk in chunks[code] for i in chunk["index"])
        if len(finished) == len(plan.items):
            continue
        for batch in engine.score(plan, skip=finished, states=True):
            if batch.states is None:
                raise ModelError(
                    f"{type(engine).__name__} gives no hidden states", hint="probe a model that is loaded locally"
                )
            name = f"{code}-{len(chunks[code]):04}.safetensors"
            _write_chunk(folder / name, plan, batch, layers, measure(code, plan, batch) if measure else {})
            chunks[code].append({"file": name, "index": list(batch.index)})
            write_json(folder / INDEX, index | {"hidden": batch.states.last.shape[-1]})
            done += len(batch.index)
            progress(activity, done, total)
    return open_states(folder, fingerprint=model)


def _start(folder: Path, key: str, plans: Mapping[str, Plan]) -> dict[str, Any]:
    """The existing index, or a new one where it is missing or has another key."""
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        if index.get("key") == key:
            return dict(index)
        for path in folder.glob("*.safetensors"):
            path.unlink()
    ids = {code: [prompt.example_id for prompt in plan.prompts] for code, plan in plans.items()}
    return {"schema": 1, "key": key, "example_ids": ids, "chunks": {code: [] for code in plans}}


def _write_chunk(
    path: Path, plan: Plan, batch: ScoredBatch, layers: Sequence[int], measured: Mapping[str, NDArray[Any]]
) -> None:
    tensors: dict[str, NDArray[Any]] = {
        "tokens": batch.tokens,
        "own_tokens": np.array([len(plan.items[i].body) for i in batch.index], dtype=np.int32),
    }
    for pooling in POOLINGS:
        states = getattr(batch.states, pooling)[:, list(layers)].swapaxes(0, 1)
        tensors[pooling], tensors[f"{pooling}.scale"] = to_float16(states)
    with atomic(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in (tensors | dict(measured)).items()}, partial)


def to_float16(states: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """[layers, ...] → (float16, scale [layers]). A few dimensions of some models exceed 65504: such a layer is divided
    by a power of two, so that the only rounding is to float16's 11 bits. The scale is 1 elsewhere."""
    largest = np.abs(states).reshape(len(states), -1).max(axis=1)
    scale = np.exp2(np.ceil(np.log2(np.maximum(largest / FLOAT16_MAX, 1.0)))).astype(np.float32)
    return (states / scale.reshape(-1, *[1] * (states.ndim - 1))).astype(np.float16), scale


def _layer(file: Any, pooling: str, number: int) -> NDArray[np.float32]:
    scale = file.get_tensor(f"{pooling}.scale")[number]
    values: NDArray[np.float32] = file.get_slice(pooling)[number].astype(np.float32) * scale
    return values
