"""The files that make lm-evaluation-harness ask what `spillover evaluate` asks, without a chat template.

<task>_<language>.jsonl  the items, each with its whole prompt, shots included: no template is filled by the harness
<task>_<language>.yaml   the task: which column is what. No text of the benchmark, so none is read as YAML or Jinja
spillover_rows.py        reads the rows as they stand, wherever the folder is
"""

from __future__ import annotations

import json
import re

from spillover.core.types import Task
from spillover.tasks.harness_rows import blank_before_answers

ROWS_READER = "spillover_rows.py"
# `datasets` guesses types when it reads JSON: answers that are all dates, as in "2020-01-01", become datetimes.
ROWS_READER_TEXT = '''"""Reads rows of JSON as they stand. Written by `spillover export lm-eval`."""

import json
from pathlib import Path

from datasets import Dataset


def read(file, **_):
    """The items of one file beside this one."""
    with (Path(__file__).parent / file).open(encoding="utf-8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}
'''
# By summed log-probability and by its mean per byte. The harness knows no mean per token; `acc_norm` counts characters.
METRICS = ("acc", "acc_bytes")


def tag_of(task: Task) -> str:
    """The name under which the harness runs the task in all languages. It must hold nothing that `--tasks` reads as a
    pattern or a list."""
    return f"spillover_{re.sub(r'[^A-Za-z0-9.-]+', '_', task.name)}"


def harness_task_name(task: Task, language: str) -> str:
    """The name of the task in one language."""
    return f"{tag_of(task)}_{language}"


def harness_task(task: Task, language: str) -> str:
    """The task in one language as YAML. Values are in JSON, of which YAML understands every one."""
    name = harness_task_name(task, language)
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in METRICS]
    values = {
        "task": name,
        "tag": tag_of(task),
        "dataset_kwargs": {"file": f"{name}.jsonl"},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_choice": "choices",
        "doc_to_target": "target",
        "target_delimiter": blank_before_answers(task),
        "num_fewshot": 0,
        "metric_list": metrics,
        "metadata": {"version": task.version},
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    reader = f"custom_dataset: !function {ROWS_READER.removesuffix('.py')}.read"
    return "\n".join(["# Written by `spillover export lm-eval`.", *lines, reader]) + "\n"
