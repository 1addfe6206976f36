"""The provenance of a run: its stages, its wording, what is missing, how to repeat it; from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.files import read_text
from spillover.core.runs import Run
from spillover.core.types import Provenance
from spillover.stages.compare.result import Comparison
from spillover.tasks.wording import bundled_tasks, load_task

TOKENS = ("computed_tokens", "prompt_tokens", "tokens_per_epoch")
# Stage → what the page lacks without it. The verb has the stage's name.
CONTENTS = {
    "audit": "the findings in the data",
    "build": "the training pairs",
    "train": "the curves of training",
    "evaluate": "scores",
    "compare": "the verdict and everything before and after",
    "probe": "the hidden states",
}


def stage_rows(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per stage: name, state, seconds, tokens, key (the hash of all that went into it), its other facts, and its
    settings as text."""
    rows = []
    for name, stage in manifest["stages"].items():
        facts = dict(stage.get("facts", {}))
        tokens = next((facts.pop(key) for key in TOKENS if key in facts), None)
        row = {"name": name, "state": stage.get("state", ""), "seconds": stage.get("seconds"), "tokens": tokens}
        settings = json.dumps(stage.get("settings", {}), ensure_ascii=False, indent=1)
        texts = {key.replace("_", " "): _fact_text(value) for key, value in facts.items()}
        rows.append(row | {"key": stage.get("key", ""), "facts": texts, "settings": settings})
    return rows


def _fact_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    # A path of one machine says nothing on another.
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else str(value)


def missing_parts(run: Run, comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """(what is not on this page, the command that makes it)."""
    stages = run.manifest()["stages"]
    finished = {name.partition("/")[0] for name, stage in stages.items() if stage.get("state") == "done"}
    # Verbs may have been run one by one, into the folder alone.
    finished |= {name for name in CONTENTS if any((run.path / name).glob("*"))}
    missing = [(f"{name}: {text}", f"spillover {name}") for name, text in CONTENTS.items() if name not in finished]
    missing += [
        (f"{name}: started, not finished", f"spillover {name.partition('/')[0]}")
        for name, stage in stages.items()
        if stage.get("state") not in ("done", None)
    ]
    if comparisons and all(comparison.contrasts is None for comparison in comparisons):
        text = "placebo: no other arm was compared, so nothing says that translation is the cause"
        missing.append((text, "spillover compare RUN PLACEBO"))
    if comparisons and all(comparison.seeds is None for comparison in comparisons):
        text = "seeds: one seed, so nothing says what another would give"
        missing.append((text, "spillover compare RUN SAME-RUN-WITH-ANOTHER-SEED"))
    return missing


def config_text(run: Run) -> str | None:
    """The resolved config, which repeats the run; None when the stages were run one by one."""
    path = run.path / "config.yaml"
    return read_text(path) if path.exists() else None


@dataclass(frozen=True)
class WordingRow:
    """The wording of a task in one language: its label words, and where it comes from."""

    language: str
    provenance: Provenance
    label_words: str


def wordings(languages: Mapping[str, Iterable[str]]) -> dict[str, list[WordingRow]]:
    """By task a row for each language with a wording; bundled tasks alone. languages: by task, those that were used."""
    tables = {}
    for name, codes in languages.items():
        if name not in bundled_tasks():
            continue
        task = load_task(name)
        tables[name] = [
            WordingRow(
                code, wording.provenance, " / ".join(wording.labels[label] for label in task.labels if wording.labels)
            )
            for code in codes
            if (wording := task.wordings.get(code)) is not None
        ]
    return {name: rows for name, rows in tables.items() if rows}
