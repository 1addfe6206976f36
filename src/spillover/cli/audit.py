"""`spillover audit`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.options import Data, Json, Lang, Set
from spillover.cli.terminal import print_list, print_table, progress_bars

if TYPE_CHECKING:
    from spillover.core.types import Finding
    from spillover.stages.audit.repair import Mend
    from spillover.tasks.importers.hub import Source

WORST = 3
DEFAULT_TASK = "sentiment"


def audit(
    task: Annotated[
        str | None, typer.Option("--task", help="sentiment, nli, paraphrase, or a task folder; all with --from-paper.")
    ] = None,
    data: Data = "demo",
    lang: Lang = "all",
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/audit"),
    from_paper: Annotated[
        Path | None, typer.Option(help="Checkout of the paper's repository: audit it unrepaired.")
    ] = None,
    from_hub: Annotated[
        str | None, typer.Option(help="A data set of `spillover ls datasets`, or your own row as a YAML file.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Also check words and lengths under this model's tokenizer.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Also compare items with this sentence-transformers model.")
    ] = None,
    fix: Annotated[Path | None, typer.Option(help="Write a repaired copy here, where the mend is certain.")] = None,
    fail_on: Annotated[str, typer.Option(help="Exit code 3 from this severity on: error, warning or note.")] = "error",
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """What in the data cannot be trusted, row by row. Exit code 3 with findings at or above --fail-on."""
    from spillover.core.config import load_config
    from spillover.core.runs import open_run
    from spillover.stages.audit.repair import MENDS, check_target
    from spillover.stages.audit.repair import fix as write_fixed
    from spillover.stages.audit.stage import SEVERITIES, audit_run, reaches
    from spillover.tasks.importers.hub import read_source
    from spillover.tasks.wording import bundled_tasks, load_task

    if fail_on not in SEVERITIES:
        raise typer.BadParameter(f"--fail-on {fail_on!r} is not one of {', '.join(SEVERITIES)}")
    if from_paper and from_hub:
        raise typer.BadParameter("--from-paper and --from-hub do not go together")
    config = load_config(overrides=set_ or ()).audit
    source = read_source(from_hub) if from_hub else None
    tasks = [task] if task else list(bundled_tasks()) if from_paper else [source.task if source else DEFAULT_TASK]
    for name in tasks:
        load_task(name)
    place = open_run(out)
    with _folder(data, from_paper, source) as folder, progress_bars() as progress:
        if fix:
            check_target(folder, fix)
        findings = audit_run(
            place, tasks, data=folder, languages=lang, config=config, progress=progress, **_models(model, encoder)
        )
        mends = write_fixed(findings, tasks, data=folder, out=fix) if fix else []
    path = out / "audit" / "findings.json"
    if as_json:
        print(path.read_text(encoding="utf-8"), end="")
    else:
        _print_findings(findings)
        if fix:
            _print_mends(mends)
            print(f"wrote {fix} ({_number(len(mends), 'mend')}, each in {fix / MENDS})")
        print(f"wrote {path}")
    if reaches(findings, fail_on):
        sys.exit(3)


@contextmanager
def _folder(data: str, checkout: Path | None, source: Source | None) -> Iterator[str]:
    """The data folder to audit; what comes from elsewhere is imported into one that vanishes."""
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
    """What the audit asks of models, loaded only when asked for."""
    found: dict[str, Any] = {}
    if model:
        from spillover.models.tokenizer import load_tokenizer

        found["tokenizer"] = load_tokenizer(model)
    if encoder:
        from spillover.models.encoder import load_encoder

        found["encode"] = load_encoder(encoder)
    return found


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        print("nothing found")
        return
    rows = []
    for (task, code), own in _by_language(findings).items():
        ceilings = [f.ceiling for f in own if f.check == "oracle-ceiling" and f.ceiling is not None]
        touched = len({(f.split, i) for f in own for i in f.example_ids})
        counts = [str(sum(f.severity == severity for f in own)) for severity in ("error", "warning", "note")]
        perfect = f"{100 * min(ceilings, default=1.0):.1f}"
        rows.append([f"{task[:16]} {code or 'all'}", perfect, *counts, str(touched), own[0].check])
    print_table("", ["", "perfect, %", "errors", "warnings", "notes", "rows", "worst"], rows)
    print("perfect: what a perfect model scores with these labels")
    for (severity, task, check), same in _alike(findings).items():
        print(f"\n{severity}: {check}, {task}")
        shown = same if severity != "note" else same[:WORST]
        print_list(_told(finding) for finding in shown)
        if len(shown) < len(same):
            print(f"  and {_number(len(same) - len(shown), 'more language')}")
        if severity != "note":
            print(f"  {same[0].certainty}; mend: {same[0].mend}")
    print(f"\n{_number(len(findings), 'finding')}")


def _number(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _told(finding: Finding) -> str:
    ids = ", ".join(finding.example_ids[:WORST]) + (" ..." if len(finding.example_ids) > WORST else "")
    return f"{finding.language or 'all'}: {finding.message}" + (f" [{ids}]" if ids else "")


def _alike(findings: Sequence[Finding]) -> dict[tuple[str, str, str], list[Finding]]:
    """Findings by (severity, task, check), in the order that they come in: worst first."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.task, finding.check), []).append(finding)
    return groups


def _by_language(findings: Sequence[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Findings by (task, language); they come worst first, so the worst language comes first too."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.task, finding.language), []).append(finding)
    return groups


def _print_mends(mends: Sequence[Mend]) -> None:
    groups: dict[tuple[str, ...], int] = {}
    for mend in mends:
        key = (mend.task, mend.split, mend.language, mend.check, mend.field)
        groups[key] = groups.get(key, 0) + 1
    for (task, split, language, check, field), n in groups.items():
        print(f"mended {task}/{split}/{language}: {n} x {field} ({check})")
