"""Fold an adapter into full weights, and verify that nothing else changed.

The gate: on real prompts, label log-probabilities of the merged weights equal those of base plus adapter, and differ
from the base's. Weights that fail it are not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import EvaluateConfig, ModelConfig
from spillover.core.errors import ModelError
from spillover.core.files import atomic_folder, hash_files, write_json
from spillover.core.runs import Run
from spillover.core.types import Progress, Prompt, no_progress
from spillover.models.engine import open_engine
from spillover.models.load import BASE_ALONE, Model, attach_adapter, load_model
from spillover.models.served_model import refuse_server

TOLERANCE = 1e-3
MERGED = "merged"
NOTE = "merge.json"


def merge(
    config: ModelConfig,
    adapter: Path,
    out: Path,
    prompts: Sequence[Prompt],
    *,
    evaluate: EvaluateConfig | None = None,
    dtype: str = "float32",
) -> dict[str, float]:
    """Write the base of `config` with `adapter` folded in to the folder `out`; return what the gate measured.

    prompts: a few real ones, of one language. evaluate: how they are scored (chat form, rule).
    Measured: `max_diff_vs_adapter`, the largest difference of a label's log-probability between merged and base plus
    adapter (at most 1e-3), and `max_change_vs_base`, the largest between merged and base. ModelError when the gate
    fails; nothing is written then.
    """
    if config.server:
        refuse_server("merge")
    base = load_model(**config.model_dump() | BASE_ALONE | {"dtype": dtype})
    evaluate = evaluate or EvaluateConfig()
    base_scores = _scores(base, prompts, evaluate)
    tuned = attach_adapter(base, str(adapter))
    adapter_scores = _scores(tuned, prompts, evaluate)
    merged: Any = tuned.module
    merged = merged.merge_and_unload()
    merged_scores = _scores(replace(tuned, module=merged), prompts, evaluate)
    max_diff_vs_adapter = float(np.abs(merged_scores - adapter_scores).max())
    max_change_vs_base = float(np.abs(merged_scores - base_scores).max())
    if not max_diff_vs_adapter <= TOLERANCE:
        raise ModelError(
            f"merged weights differ from base plus adapter by {max_diff_vs_adapter:.2g} in a label's log-probability",
            hint="merge in float32, and not onto a 4-bit base",
        )
    if not max_change_vs_base > 0:
        raise ModelError(f"adapter {adapter}: it changes nothing", hint="train longer, or with a higher learning rate")
    facts = {
        "max_diff_vs_adapter": max_diff_vs_adapter,
        "max_change_vs_base": max_change_vs_base,
        "prompts": len(prompts),
    }
    with atomic_folder(out) as partial:
        merged.save_pretrained(partial)
        tuned.tokenizer.save_pretrained(partial)
        write_json(partial / NOTE, {"base": asdict(base.ref), "fingerprint": tuned.ref.fingerprint} | facts)
    return facts


def merge_run(
    run: Run,
    config: ModelConfig,
    prompts: Sequence[Prompt],
    progress: Progress = no_progress,
    *,
    evaluate: EvaluateConfig | None = None,
) -> Path:
    """The merge stage: `<run>/train/merged` from `<run>/train/adapter`, made once."""
    adapter, out = run.path / "train" / "adapter", run.path / "train" / MERGED
    weights = hash_files(adapter.glob("*.safetensors"))
    settings = {"adapter": weights, "model": config.name, "revision": config.revision}
    with run.stage("merge", settings) as stage:
        if not (stage.finished and out.is_dir()):
            progress("merge", 0, 1)
            stage.facts |= merge(config, adapter, out, prompts, evaluate=evaluate)
            progress("merge", 1, 1)
    return out


def _scores(model: Model, prompts: Sequence[Prompt], evaluate: EvaluateConfig) -> NDArray[np.float32]:
    """[answers of all prompts], batch by batch; without those that an item does not have."""
    engine = open_engine(model, evaluate.model_copy(update={"prefix_cache": False}))
    return np.concatenate([batch.logprobs[batch.label_tokens > 0] for batch in engine.score(engine.plan(prompts))])
