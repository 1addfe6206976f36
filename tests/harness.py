"""lm-evaluation-harness on exported tasks, in an environment of its own: `make .venv-lm-eval/.installed`, or the Python
that LM_EVAL_PYTHON names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from spillover.stages.export.harness_tasks import tag_of
from spillover.stages.export.stage import export_lm_eval
from spillover.tasks.benchmark import Benchmark

PYTHON = Path(os.environ.get("LM_EVAL_PYTHON", Path(__file__).parents[1] / ".venv-lm-eval" / "bin" / "python"))


def run_harness(benchmarks: list[Benchmark], model: Path, folder: Path, **options: str) -> dict[str, Path]:
    """Export the benchmarks below `folder`, log them with the model in float32, and return the folder of
    samples by task.
    options: further ones of `lm_eval run`."""
    for benchmark in benchmarks:
        export_lm_eval(benchmark, folder / "exported" / benchmark.task.name)
    command = [
        str(PYTHON), "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32",
        "--tasks", ",".join(tag_of(benchmark.task) for benchmark in benchmarks), "--include_path", str(folder / "exported"),
        "--log_samples", "--output_path", str(folder / "out"), "--device", "cpu", "--batch_size", "16",
        *(part for name, value in options.items() for part in (f"--{name}", value) if part),
    ]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "PYTHONPATH": ""}
    subprocess.run(command, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    logs = {}
    for benchmark in benchmarks:
        logs[benchmark.task.name] = folder / "logs" / benchmark.task.name
        logs[benchmark.task.name].mkdir(parents=True)
        for path in (folder / "out").rglob(f"samples_{tag_of(benchmark.task)}_*.jsonl"):
            path.rename(logs[benchmark.task.name] / path.name)
    return logs
