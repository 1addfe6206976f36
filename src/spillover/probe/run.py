"""One forward pass per prompt feeds the lens and the PCA: `<run>/probe/<model>/lens.parquet` and `pca.parquet`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.files import atomic, hash_files, hash_of
from spillover.core.languages import reference_language, select_languages
from spillover.core.runs import Run
from spillover.core.types import Progress, Prompt, ScoredBatch, Task, no_progress
from spillover.models.engine import open_engine
from spillover.models.labels import tokenize_prompts
from spillover.models.load import Model
from spillover.models.neurons import why_no_neurons
from spillover.models.packing import Plan
from spillover.models.untrained import untrained
from spillover.probe.languages import RANDOM_WEIGHTS, write_language_tables
from spillover.probe.lens import lens_masses, unembed
from spillover.probe.nulls import random_tokens
from spillover.probe.pca import layer_pca
from spillover.probe.states import SavedStates, collect
from spillover.tasks.examples import language_files, load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def probe(
    run: Run,
    model: Model,
    name: str,
    *,
    config: ProbeConfig,
    evaluate: EvaluateConfig,
    task: str,
    data: str,
    languages: str | Sequence[str],
    seed: int,
    progress: Progress = no_progress,
) -> Path:
    """The probe stage for one model: `<run>/probe/<name>`, made once. `config.items` items per language."""
    wording = load_task(task)
    files = language_files(data, wording, "test")
    available = select_languages(languages, [code for code in files if code in wording.wordings])
    codes = select_languages(config.languages, available, where="probe.languages")
    settings = config.model_dump() | {
        "task": wording.name,
        "wording": wording.fingerprint,
        "data": {code: hash_files([files[code]]) for code in codes},
        "model": model.ref.fingerprint,
        "labels": evaluate.labels,
        "shots": evaluate.shots,
        "seed": seed,
    }
    folder = run.path / "probe" / name
    with run.stage(f"probe/{name}", settings) as stage:
        if stage.finished and (folder / "pca.parquet").exists():
            return folder
        examples = load_parallel(
            data, wording, "test", codes, limit=config.items, seed=seed,
            missing_items=evaluate.missing_items, disagreeing_labels=evaluate.disagreeing_labels,
        )  # fmt: skip
        prompts = {
            c: render(wording, rows, label_set=evaluate.labels, shots=evaluate.shots) for c, rows in examples.items()
        }
        states_of = partial(_pass, prompts=prompts, settings=settings, evaluate=evaluate, progress=progress)
        saved = states_of(model, folder, f"probe {name}")
        null = (
            states_of(untrained(model, seed), folder.parent / RANDOM_WEIGHTS, "probe random weights")
            if (config.random_weights)
            else None
        )
        left_out = write_language_tables(
            folder, saved, null, config=config, seed=seed, why_no_neurons=why_no_neurons(model.module),
            progress=progress,
        )  # fmt: skip
        for table, reason in left_out.items():
            log.warning("%s is left out: %s", table, reason)
        layers = [saved.read("last", layer) for layer in saved.layers]
        states = {c: torch.from_numpy(np.stack([own[c] for own in layers], axis=1)) for c in codes}
        rng = np.random.default_rng(seed)
        _write(folder / "lens.parquet", lens_table(model, wording, prompts, states, rng))
        _write(folder / "pca.parquet", pca_table(prompts, states, rng))
        stage.facts |= {"items": sum(map(len, prompts.values())), "layers": next(iter(states.values())).shape[1] - 1}
        stage.facts |= {f"no {table}": reason for table, reason in left_out.items()}
    return folder


def _pass(
    model: Model,
    folder: Path,
    activity: str,
    *,
    prompts: dict[str, list[Prompt]],
    settings: Mapping[str, Any],
    evaluate: EvaluateConfig,
    progress: Progress,
) -> SavedStates:
    """The states of all prompts in `<folder>/states`, with what fires in the MLPs; found there when made already."""
    engine = open_engine(model, evaluate.model_copy(update={"batch_tokens": max(1, evaluate.batch_tokens // 2)}))
    plans = {code: engine.plan(rows) for code, rows in prompts.items()}
    key = hash_of(dict(settings) | {"model": model.ref.fingerprint})
    return collect(
        engine, plans, folder / "states", key=key, model=model.ref.fingerprint, task=str(settings["task"]),
        layers=range(model.layers + 1), measure=_active, activity=activity, progress=progress,
    )  # fmt: skip


def _active(code: str, plan: Plan, batch: ScoredBatch) -> dict[str, NDArray[Any]]:
    """What `collect` keeps of a batch beside its states."""
    return {} if batch.states is None or batch.states.active is None else {"active": batch.states.active}


def lens_table(
    model: Model, task: Task, prompts: dict[str, list[Prompt]], states: dict[str, Tensor], rng: np.random.Generator
) -> pd.DataFrame:
    """A row per language and layer (0 is the embedding): mean probability of the first tokens of the label words in the
    reference language (`reference_mass`), of the language's own (`native_mass`), of as many random tokens
    (`random_mass`), and `entropy` in bits. Tokens that both sets share count for neither; `shared_tokens`: how many."""
    import pandas as pd

    lens = unembed(model)
    reference = reference_language()
    tables = []
    for code, rows in prompts.items():
        native = _first_tokens(model, rows[0], tuple(task.wordings[code].labels.values()))
        english = _first_tokens(model, rows[0], tuple(task.wordings[reference].labels.values()))
        shared = native & english if code != reference else set()
        native, english = native - shared, english - shared
        control = random_tokens(
            model.module.get_output_embeddings().weight.shape[0], max(len(native), 1), native | english, rng
        )
        masses, entropy = lens_masses(lens, states[code], [sorted(english), sorted(native), control])
        mean = masses.mean(dim=1).numpy()
        tables.append(
            pd.DataFrame(
                {
                    "language": code,
                    "layer": np.arange(len(mean)),
                    "reference_mass": mean[:, 0],
                    "native_mass": mean[:, 1],
                    "random_mass": mean[:, 2],
                    "entropy": entropy.mean(dim=1).numpy(),
                    "shared_tokens": len(shared),
                    "n": len(rows),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _first_tokens(model: Model, prompt: Prompt, words: tuple[str, ...]) -> set[int]:
    """The first token of each word where it stands in the prompt."""
    answered = Prompt(prompt.example_id, prompt.language, prompt.prefix, prompt.body, words)
    return {label[0] for label in tokenize_prompts(model.tokenizer, [answered])[0].labels}


def pca_table(prompts: dict[str, list[Prompt]], states: dict[str, Tensor], rng: np.random.Generator) -> pd.DataFrame:
    """A row per layer, language and item: `pc1`, `pc2`, and per layer the explained shares, the mean correlation of the
    first component between languages, and its null."""
    import pandas as pd

    codes = list(states)
    ids = [prompt.example_id for prompt in prompts[codes[0]]]
    stacked = torch.stack([states[code] for code in codes]).double().numpy()
    tables = []
    for layer in range(stacked.shape[2]):
        found = layer_pca(stacked[:, :, layer], rng)
        columns: dict[str, Any] = {
            "layer": layer,
            "language": np.repeat(codes, len(ids)),
            "example_id": np.tile(ids, len(codes)),
            "pc1": found.points[:, :, 0].ravel(),
            "pc2": found.points[:, :, 1].ravel(),
            "explained_1": found.explained[0],
            "explained_2": found.explained[1],
            "correlation": found.correlation,
            "correlation_null": found.null,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _write(path: Path, table: pd.DataFrame) -> None:
    with atomic(path) as partial:
        table.to_parquet(partial, index=False)
