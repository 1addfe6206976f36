"""`spillover audit`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from spillover.cli.config_options import config_options
from spillover.cli.options import DATASET, Json
from spillover.cli.terminal import print_json_text, print_list, print_table, progress_bars, show
from spillover.core.config import RunConfig
from spillover.core.types import Severity

if TYPE_CHECKING:
    from spillover.core.types import Finding
    from spillover.stages.audit.repaired_copy import Repair
    from spillover.tasks.importers.hub import Source

SHOWN = 3

Row = TypeVar("Row")


@config_options("data", "languages", "evaluate.wording")
def audit(
    config: RunConfig,
    task: Annotated[
        str | None, typer.Option(help="A bundled task or a task folder. [default: sentiment; with --from-paper all]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/audit"),
    from_paper: Annotated[
        Path | None, typer.Option(help="Checkout of the paper's repository: audit it unrepaired.")
    ] = None,
    from_hub: Annotated[str | None, typer.Option(help=DATASET)] = None,
    model: Annotated[
        str | None, typer.Option(help="Also check words and lengths under this model's tokenizer.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Also compare items with this sentence-transformers model.")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(help="Write a repaired copy here; only what is certain is repaired.")
    ] = None,
    fail_on: Annotated[Severity, typer.Option(help="Exit code 3 with findings of this severity, or worse.")] = "error",
    as_json: Json = False,
) -> None:
    """Find what in the data cannot be trusted, row by row. Exit code 3 with findings at or above --fail-on."""
    from spillover.core.runs import open_run
    from spillover.stages.audit import audit_run
    from spillover.stages.audit.findings import reaches
    from spillover.stages.audit.repaired_copy import REPAIRS, check_target, write_repaired_copy
    from spillover.tasks.benchmark import open_benchmark
    from spillover.tasks.importers.hub import read_source
    from spillover.tasks.importers.paper import paper_tasks
    from spillover.tasks.wording import load_task

    if from_paper and from_hub:
        raise typer.BadParameter("--from-paper and --from-hub are mutually exclusive")
    source = read_source(from_hub) if from_hub else None
    tasks = config.tasks
    if task:
        tasks = [task]
    elif from_paper:
        tasks = paper_tasks()
    elif source:
        tasks = [source.task]
    for name in tasks:
        load_task(name)
    with _folder(config.data, from_paper, source) as folder, progress_bars() as progress:
        if fix:
            check_target(folder, fix)
        benchmarks = [
            open_benchmark(
                name, data=folder, languages=config.languages, where="--lang", wording=config.evaluate.wording
            )
            for name in tasks
        ]
        findings = audit_run(
            open_run(out), benchmarks, config=config.audit, progress=progress, **_models(model, encoder)
        )
        repairs = write_repaired_copy(findings, benchmarks, fix) if fix else []
    path = out / "audit" / "findings.json"
    if as_json:
        print_json_text(path.read_text(encoding="utf-8"))
    else:
        print_findings(findings)
        if fix:
            _print_repairs(repairs)
            show(f"wrote {fix} ({_number(len(repairs), 'repair')}, each in {fix / REPAIRS})")
        show(f"wrote {path}")
    if reaches(findings, fail_on):
        sys.exit(3)


@contextmanager
def _folder(data: str, checkout: Path | None, source: Source | None) -> Iterator[str]:
    """The data folder to audit; external data is imported into a temporary one."""
    if checkout is None and source is None:
        yield data
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        if source is not None:
            from spillover.tasks.importers.hub import import_dataset

            import_dataset(source, folder)
        elif checkout is not None:
            from spillover.tasks.importers.paper import import_paper

            import_paper(checkout, folder, as_shipped=True)
        yield str(folder)


def _models(model: str | None, encoder: str | None) -> dict[str, Any]:
    """The tokenizer and the encoder for the checks that need them."""
    models: dict[str, Any] = {}
    if model:
        from spillover.models.tokenizer import load_tokenizer

        models["tokenizer"] = load_tokenizer(model)
    if encoder:
        from spillover.models.encoder import load_encoder

        models["encode"] = load_encoder(encoder)
    return models


def print_findings(findings: Sequence[Finding]) -> None:
    """A row for each task and language, then every finding."""
    if not findings:
        show("nothing found")
        return
    rows = []
    for (task, code), of_language in _grouped(findings, lambda f: (f.task, f.language)).items():
        ceilings = [f.ceiling for f in of_language if f.check == "oracle-ceiling" and f.ceiling is not None]
        touched = len({(f.split, i) for f in of_language for i in f.example_ids})
        counts = [str(sum(f.severity == severity for f in of_language)) for severity in ("error", "warning", "note")]
        perfect = f"{100 * min(ceilings, default=1.0):.1f}"
        rows.append([f"{task[:16]} {code or 'all'}", perfect, *counts, str(touched), of_language[0].check])
    print_table("", ["", "perfect, %", "errors", "warnings", "notes", "rows", "worst"], rows)
    show("perfect: what a perfect model scores with these labels")
    _print_lengths(findings)
    for (severity, task, check), alike in _grouped(findings, lambda f: (f.severity, f.task, f.check)).items():
        show()
        show(f"{severity}: {check}, {task}")
        shown = alike if severity != "note" else alike[:SHOWN]
        print_list(_line(finding) for finding in shown)
        if len(shown) < len(alike):
            show(f"  and {_number(len(alike) - len(shown), 'more language')}")
        if severity != "note":
            show(f"  {alike[0].certainty}; suggestion: {alike[0].suggestion}")
    show()
    show(_number(len(findings), "finding"))


def _print_lengths(findings: Sequence[Finding]) -> None:
    """What the longest and the shortest answer score, where items bring their own."""
    from spillover.stages.audit.answer_lengths import length_table

    rows = [
        [f"{row.task[:16]} {row.language}", str(row.items), f"{100 * row.chance:.0f}"]
        + [_share(one) for one in (row.longest, row.longest_bytes, row.shortest)]
        for row in length_table(findings)
    ]
    if rows:
        header = ["", "items", "chance", "longest", "in bytes", "shortest"]
        show()
        print_table("right by length alone, %", header, rows)
        show("longest: the answer with most characters, or UTF-8 bytes; 95 % intervals")


def _share(estimate: tuple[float, float, float]) -> str:
    accuracy, low, high = (100 * value for value in estimate)
    return f"{accuracy:.1f} ({low:.0f} to {high:.0f})"


def _number(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _line(finding: Finding) -> str:
    ids = ", ".join(finding.example_ids[:SHOWN]) + (" ..." if len(finding.example_ids) > SHOWN else "")
    return f"{finding.language or 'all'}: {finding.message}" + (f" [{ids}]" if ids else "")


def _grouped(rows: Iterable[Row], key: Callable[[Row], tuple[str, ...]]) -> dict[tuple[str, ...], list[Row]]:
    """Rows by key, the keys in the order of their first rows."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _print_repairs(repairs: Sequence[Repair]) -> None:
    groups = _grouped(repairs, lambda repair: (repair.task, repair.split, repair.language, repair.check, repair.field))
    for (task, split, language, check, field), alike in groups.items():
        show(f"repaired {task}/{split}/{language}: {len(alike)} x {field} ({check})")
