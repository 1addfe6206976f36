"""How a run was made, and what of it is not there: from its manifest and its folder alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.runs import Run

if TYPE_CHECKING:
    from spillover.stages.compare.result import Comparison

TOKENS = ("computed_tokens", "prompt_tokens", "tokens_per_epoch")
# Stage → (what the page then lacks, what makes it).
PARTS = {
    "audit": ("what the audit finds in the data", "spillover audit"),
    "build": ("what the training pairs are", "spillover build"),
    "train": ("the curves of training", "spillover train"),
    "evaluate": ("scores", "spillover evaluate"),
    "compare": ("the verdict and everything before and after", "spillover compare"),
    "probe": ("what happens inside the model", "spillover probe"),
}


def stages(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per stage: name, state, seconds, tokens, key (the hash of all that went into it), its other facts, and its
    settings as text."""
    rows = []
    for name, stage in manifest["stages"].items():
        held = dict(stage.get("facts", {}))
        tokens = next((held.pop(key) for key in TOKENS if key in held), None)
        row = {"name": name, "state": stage.get("state", ""), "seconds": stage.get("seconds"), "tokens": tokens}
        settings = json.dumps(stage.get("settings", {}), ensure_ascii=False, indent=1)
        rows.append(row | {"key": stage.get("key", ""), "facts": _flat(held), "settings": settings})
    return rows


def _flat(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {inner}" for name, inner in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, float):
            value = f"{value:.4g}"
        elif isinstance(value, str) and Path(value).is_absolute():
            value = Path(value).name  # a path of one machine says nothing on another
        found.append((str(key).replace("_", " "), str(value)))
    return found


def absent(run: Run, comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """(what is not on this page, the command that makes it)."""
    stages = run.manifest()["stages"]
    names = {name.partition("/")[0] for name, stage in stages.items() if stage.get("state") == "done"}
    # Verbs may have been run one by one, into the folder alone.
    names |= {name for name in PARTS if (run.path / name).is_dir() and any((run.path / name).iterdir())}
    lacking = [(f"{stage}: {text}", verb) for stage, (text, verb) in PARTS.items() if stage not in names]
    lacking += [
        (f"{name}: begun, not finished", f"spillover {name.partition('/')[0]}")
        for name, stage in stages.items()
        if stage.get("state") not in ("done", None)
    ]
    if comparisons and all(found.contrasts is None for found in comparisons):
        lacking.append(
            (
                "placebo: no other arm was compared, so nothing says that translation did it",
                "spillover compare RUN PLACEBO",
            )
        )
    if comparisons and all(found.seeds is None for found in comparisons):
        lacking.append(
            (
                "seeds: one seed, so nothing says what another would give",
                "spillover compare RUN SAME-RUN-WITH-ANOTHER-SEED",
            )
        )
    return lacking


def repeat(run: Run) -> tuple[str, str | None]:
    """(the command that repeats the run, its resolved config as text or None when the stages were run one by one)."""
    from spillover.core.files import read_text

    path = run.path / "config.yaml"
    if not path.exists():
        return "", None
    return f"spillover run config.yaml --out {Path(run.path).name}-again", read_text(path)
