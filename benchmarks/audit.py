"""`make bench-audit`: what the audit finds of faults that were planted, what it says of clean data, and what it costs.

On the packaged demo data, and on the paper's imported data when PAPER=folder is given. Then time and memory on grown
copies of the demo data: every copy of an item has its own number in the text.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.audit.faults import CHANGES_SCORES, FOUND_BY, WHOLE_FILE, plant, read_data, write_data

from spillover.audit.checks import audit
from spillover.core.config import AuditConfig
from spillover.core.files import resources
from spillover.core.languages import reference_language

RATES = (0.01, 0.02, 0.05, 0.2)
# The identifier is timed below; planting no fault for it keeps this table to minutes.
CONFIG = AuditConfig(skip=["wrong-language"])


def alarms(findings) -> set[tuple[str, str, str]]:
    """(check, language, item) of every error and warning; the two that only sum up others are left out."""
    return {
        (f.check, f.language, item)
        for f in findings
        if f.severity != "note" and f.check not in ("oracle-ceiling", "class-balance")
        for item in f.example_ids or ("",)
    }


def planted(folder: Path, task: str, trials: int, seed: int = 0) -> None:
    """A table of detection by fault and rate: languages found, damaged rows named, other rows named."""
    data = read_data(folder / task / "test")
    reference = reference_language()
    with tempfile.TemporaryDirectory() as temporary:
        clean_findings = audit(task, data=str(write_data(Path(temporary), task, data, {})), config=CONFIG)
    clean = alarms(clean_findings)
    rows = sum(map(len, data.values()))
    errors = sum(f.severity == "error" for f in clean_findings)
    named = len({(language, item) for _, language, item in clean})
    print(f"\n{task}, {len(data)} languages x {rows // len(data)}: undamaged {errors} errors, ", end="")
    print(f"errors or warnings on {named} of {rows} rows ({100 * named / rows:.2f} %)")
    print(f"{'fault':<30}{'rate':>6}{'found':>9}{'rows named':>12}{'false alarms':>14}")
    for number, fault in enumerate(FOUND_BY):
        if fault == "identical pairs" and len(data[reference][0]) < 4:
            continue
        if fault == "cyclic shift of classes" and len({row["label"] for row in data[reference]}) < 3:
            continue
        for rate in (1.0,) if fault in WHOLE_FILE else RATES:
            line = [trial(fault, data, task, rate, clean, (seed, number, int(1000 * rate), i)) for i in range(trials)]
            line = [row for row in line if row is not None]
            if not line:
                continue
            found, recall, false = (np.mean([row[i] for row in line]) for i in range(3))
            star = "*" if fault in CHANGES_SCORES else " "
            print(
                f"{fault + star:<30}{100 * rate:>5.0f}%{100 * found:>8.0f}%{100 * recall:>11.0f}%{false:>14.2f}",
                flush=True,
            )


def trial(fault, data, task, rate, clean, seed) -> tuple[float, float, float] | None:
    rng = np.random.default_rng(seed)
    others = [code for code in data if code != reference_language()]
    language = others[int(rng.integers(len(others)))]
    rows, training, damaged = plant(fault, data, language, reference_language(), rate, rng)
    if not damaged:
        return None  # such as mojibake of plain ASCII
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_data(Path(temporary), task, {**data, language: rows}, {language: training} if training else {})
        new = alarms(audit(task, data=str(folder), config=CONFIG)) - clean
    right = {(item) for check, code, item in new if check in FOUND_BY[fault] and code == language}
    touched = set(damaged)
    false = {(code, item) for _, code, item in new if not (code == language and item in touched)}
    return float(bool(right & touched)), len(right & touched) / len(touched), float(len(false))


def grown(items: int, languages: int) -> None:
    """Seconds of processor time and megabytes of one audit in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        data = read_data(resources() / "demo" / "nli" / "test")
        codes = [reference_language(), *[code for code in data if code != reference_language()]][:languages]
        for code in codes:
            rows = data[code]
            copies = (
                [row | {"id": f"n-{i}", "hypothesis": f"{row['hypothesis']} {i}"}]
                for i, row in ((i, rows[i % len(rows)]) for i in range(items))
            )
            path = Path(temporary) / "nli" / "test" / f"{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8") as file:
                import json

                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for batch in copies for row in batch)
        started = time.perf_counter()
        line = subprocess.run(
            [sys.executable, "-m", "benchmarks.audit", "one", temporary], capture_output=True, text=True, check=True
        ).stdout.strip()
        print(
            f"{languages} languages x {items}: {line}, {time.perf_counter() - started:.0f} s of wall clock", flush=True
        )


def one(folder: str) -> None:
    audit("nli", data=folder)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{usage.ru_utime + usage.ru_stime:.1f} s of processor, {usage.ru_maxrss / 1024:.0f} MB")


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2])
        return
    if "time" not in sys.argv:
        for task in ("nli", "sentiment"):
            planted(resources() / "demo", task, trials=int(os.environ.get("TRIALS", "5")))
        if paper := os.environ.get("PAPER"):
            planted(Path(paper), "nli", trials=int(os.environ.get("TRIALS", "5")))
    print()
    for items, languages in ((600, 20), (6000, 20), *([(100_000, 20)] if "large" in sys.argv else [])):
        grown(items, languages)


if __name__ == "__main__":
    main()
