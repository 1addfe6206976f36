"""`make bench-audit`: what the audit finds of faults that were planted, what it says of clean data, and what it costs.

On the packaged demo data, and on the paper's imported data when --data names it. Items that bring their own answers are
made of the nli data's sentences, since the demo has few of them. Then time and memory on grown copies of the demo data:
every copy of an item has its own number in the text. `--lengths` says what the longest answer scores in each bundled
task and language.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tests.stages.audit.choice_faults import (
    CHOICE_FAULT_CHANGES_SCORES,
    CHOICE_FOUND_BY,
    WHOLE_CHOICE_FILE,
    items_from_demo,
    plant_choices,
)
from tests.stages.audit.faults import CHANGES_SCORES, FOUND_BY, WHOLE_FILE, Data, plant, read_data, write_data

from spillover.core.config import AuditConfig
from spillover.core.files import resources
from spillover.core.languages import reference_language
from spillover.core.types import Finding
from spillover.stages.audit import audit
from spillover.stages.audit.answer_lengths import length_table
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import bundled_tasks, load_task

RATES = (0.01, 0.02, 0.05, 0.2)
# The identifier is timed below; planting no fault for it keeps this table to minutes.
CONFIG = AuditConfig(skip=["wrong-language"])


def alarms(findings: Iterable[Finding]) -> set[tuple[str, str, str]]:
    """(check, language, item) of every error and warning; the two that only sum up others are left out."""
    return {
        (f.check, f.language, item)
        for f in findings
        if f.severity != "note" and f.check not in ("oracle-ceiling", "class-balance")
        for item in f.example_ids or ("",)
    }


def planted(
    folder: Path,
    task: str,
    trials: int,
    faults: Sequence[str],
    rates: Sequence[float],
    languages: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """A table of detection by fault and rate: languages found, damaged rows named, other rows named. languages: to
    damage, one trial after the other; empty: drawn from all."""
    data = read_data(folder / task / "test")
    clean = undamaged(data, task)
    print(f"{'fault':<30}{'rate':>6}{'found':>9}{'rows named':>12}{'false alarms':>14}")
    for fault in faults:
        if not fits(fault, data):
            continue
        star = "*" if fault in CHANGES_SCORES else " "
        for rate in (1.0,) if fault in WHOLE_FILE else rates:
            seeds = [(seed, list(FOUND_BY).index(fault), int(1000 * rate), i) for i in range(trials)]
            damaged = [languages[own[-1] % len(languages)] if languages else None for own in seeds]
            results = (trial(fault, data, task, rate, clean, *pair) for pair in zip(seeds, damaged, strict=True))
            tried = [row for row in results if row is not None]
            if tried:
                found, recall, false = (np.mean([row[i] for row in tried]) for i in range(3))
                line = f"{fault + star:<30}{100 * rate:>5.0f}%{100 * found:>8.0f}%{100 * recall:>11.0f}%{false:>14.2f}"
                print(line, flush=True)


def planted_choices(folder: Path, task: str, n_choices: int, trials: int, rates: Sequence[float]) -> None:
    """The same table of items with answers of their own, for the faults that only these have."""
    data = items_from_demo(read_data(folder / "nli" / "test"), task, n_choices)
    clean = undamaged(data, task)
    print(f"{'fault':<30}{'rate':>6}{'found':>9}{'rows named':>12}{'false alarms':>14}")
    others = [code for code in data if code != reference_language()]
    for number, fault in enumerate(CHOICE_FOUND_BY):
        for rate in (1.0,) if fault in WHOLE_CHOICE_FILE else rates:
            tried = []
            for i in range(trials):
                rng = np.random.default_rng((number, int(1000 * rate), i))
                language = others[int(rng.integers(len(others)))]
                rows, damaged = plant_choices(fault, data, language, reference_language(), rate, rng)
                if damaged:
                    found_by = CHOICE_FOUND_BY[fault]
                    tried.append(judged(data, task, language, rows, {}, damaged, found_by, clean))
            if tried:
                found, recall, false = np.mean(tried, axis=0)
                star = "*" if fault in CHOICE_FAULT_CHANGES_SCORES else " "
                line = f"{fault + star:<30}{100 * rate:>5.0f}%{100 * found:>8.0f}%{100 * recall:>11.0f}%{false:>14.2f}"
                print(line, flush=True)


def longest() -> None:
    """What the longest answer of the bundled items scores, by task and language."""
    print("task language items chance longest [95 %] longest in bytes [95 %] shortest [95 %]")
    for task in bundled_tasks():
        for row in length_table(audit(task, config=CONFIG)):
            shares = [
                f"{100 * a:.1f} [{100 * b:.0f}, {100 * c:.0f}]"
                for a, b, c in (row.longest, row.longest_bytes, row.shortest)
            ]
            print(task, row.language, row.items, f"{100 * row.chance:.0f}", *shares)


def undamaged(data: Data, task: str) -> set[tuple[str, str, str]]:
    """The alarms on the data as it is, also printed as a line."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_data(Path(temporary), task, data, {})
        findings = audit(open_benchmark(task, data=str(folder)), config=CONFIG)
    clean = alarms(findings)
    rows = sum(map(len, data.values()))
    errors = sum(f.severity == "error" for f in findings)
    named = len({(language, item) for _, language, item in clean})
    print(f"\n{task}, {len(data)} languages x {rows // len(data)}: undamaged {errors} errors, ", end="")
    print(f"errors or warnings on {named} of {rows} rows ({100 * named / rows:.2f} %)")
    return clean


def fits(fault: str, data: Data) -> bool:
    """Whether the data has what the fault needs: two fields, or three classes."""
    rows = data[reference_language()]
    pairs, classes = len(rows[0]) == 4, len({row["label"] for row in rows})
    if fault in ("identical pairs", "exchanged fields"):
        return pairs
    return classes > 2 or fault != "cyclic shift of classes"


def trial(
    fault: str,
    data: Data,
    task: str,
    rate: float,
    clean: set[tuple[str, str, str]],
    seed: Sequence[int],
    language: str | None = None,
) -> tuple[float, float, float] | None:
    """(1 when any damaged row is named, share of the damaged rows named, other rows named), None where nothing could be
    damaged, such as mojibake of plain ASCII."""
    rng = np.random.default_rng(seed)
    others = [code for code in data if code != reference_language()]
    language = language or others[int(rng.integers(len(others)))]
    rows, training, damaged = plant(fault, data, language, reference_language(), rate, rng)
    if not damaged:
        return None
    more = {language: training} if training else {}
    return judged(data, task, language, rows, more, damaged, FOUND_BY[fault], clean)


def judged(
    data: Data,
    task: str,
    language: str,
    rows: Sequence[object],
    training: Data,
    damaged: Sequence[str],
    found_by: set[str],
    clean: set[tuple[str, str, str]],
) -> tuple[float, float, float]:
    """What `trial` returns, of data with one language's rows damaged."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_data(Path(temporary), task, {**data, language: rows}, training)
        new = alarms(audit(open_benchmark(task, data=str(folder)), config=CONFIG)) - clean
    right = {item for check, code, item in new if check in found_by and code == language}
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
            path = Path(temporary) / "nli" / "test" / f"{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8") as file:
                for i in range(items):
                    row = rows[i % len(rows)]
                    row = row | {"id": f"n-{i}", "hypothesis": f"{row['hypothesis']} {i}"}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        line = subprocess.run(
            [sys.executable, "-m", "benchmarks.audit", "--one", temporary], capture_output=True, text=True, check=True
        ).stdout.strip()
        print(f"{languages} languages x {items}: {line}", flush=True)


def one(folder: str) -> None:
    audit(open_benchmark("nli", data=folder))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{usage.ru_utime + usage.ru_stime:.1f} s of processor, {usage.ru_maxrss / 1024:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="another data folder beside the demo's, such as the paper's imported one")
    parser.add_argument("--task", action="append", help="of the three, all by default")
    parser.add_argument("--fault", action="append", choices=FOUND_BY, help="all by default")
    parser.add_argument("--rate", action="append", type=float, help="share of damaged rows; 0.01, 0.02, 0.05, 0.2")
    parser.add_argument("--language", action="append", help="to damage, in turn; drawn from all by default")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="time 100,000 items a language and a million rows too")
    parser.add_argument("--only", choices=("planted", "choices", "time"))
    parser.add_argument("--lengths", action="store_true", help="only what the longest answer scores")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen.one)
        return
    if chosen.lengths:
        longest()
        return
    if chosen.only != "time":
        _planted_in_all(chosen)
    if chosen.only in (None, "time"):
        large = ((100_000, 20), (1_000_000, 1)) if chosen.large else ()
        for items, languages in ((600, 20), (6000, 20), *large):
            grown(items, languages)


def _planted_in_all(chosen: argparse.Namespace) -> None:
    """The tables of planted faults, in the demo's data and in the folder that was named."""
    rates = chosen.rate or RATES
    for folder in [resources() / "demo", *([Path(chosen.data)] if chosen.data else [])]:
        for task, n_choices in () if chosen.task else (("copa", 2), ("reading", 4)):
            planted_choices(folder, task, n_choices, chosen.trials, rates)
        with_labels = [name for name in bundled_tasks() if load_task(name).kind == "labels"]
        for task in () if chosen.only == "choices" else chosen.task or with_labels:
            planted(folder, task, chosen.trials, chosen.fault or list(FOUND_BY), rates, chosen.language or ())


if __name__ == "__main__":
    main()
