"""Writes lm-eval-exported.zip: what lm-evaluation-harness logged of exported tasks, one of each kind.

make .venv-lm-eval/.installed
PYTHONPATH=. .venv/bin/python tests/data/make_exported_logs.py
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from tests.builders import KIND_DATA, kind_task, save_model, small_data
from tests.harness import run_harness

from spillover.tasks.benchmark import open_benchmark


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        benchmarks = [
            open_benchmark("sentiment", data=str(small_data(folder / "my-data", ("en", "de")))),
            *(open_benchmark(kind_task(task), data=KIND_DATA) for task in ("reading", "agreement")),
        ]
        logs = run_harness(benchmarks, save_model(folder / "model"), folder)
        with zipfile.ZipFile(Path(__file__).with_name("lm-eval-exported.zip"), "w", zipfile.ZIP_LZMA) as archive:
            for task, of_task in logs.items():
                for path in sorted(of_task.iterdir()):
                    archive.write(path, f"{task}/{path.name}")


if __name__ == "__main__":
    main()
