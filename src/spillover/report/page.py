"""A run folder → report.html: one file, no script, no request to anywhere. Reads tables, loads no model.

1. Gather what the folder holds; a stage that is missing leaves its section out, and the page says so.
2. Draw the charts as inline SVG.
3. Render the template with every text escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from spillover.audit.checks import read_findings
from spillover.compare.run import FOLDER as COMPARE
from spillover.compare.run import read_comparisons
from spillover.compare.verdict import p_value
from spillover.core.errors import DataError
from spillover.core.files import atomic, read_text
from spillover.core.languages import language
from spillover.core.runs import Run, existing_run
from spillover.evaluate.summary import summarise
from spillover.evaluate.tables import read_evaluation
from spillover.report.charts import change_chart, of_all_models, svg
from spillover.report.figures import figures
from spillover.report.training import training_section
from spillover.tasks.wording import bundled_tasks, load_task


def report(path: Path | str, *, title: str | None = None) -> Path:
    """Write `<run>/report.html` from what the run folder holds, and return its path. RunError when it holds no run."""
    run = existing_run(path)
    values = gather(run) | {"title": title or run.manifest().get("name") or run.path.name}
    with atomic(run.path / "report.html") as partial:
        partial.write_text(render_page(values), encoding="utf-8")
    return run.path / "report.html"


def render_page(values: Mapping[str, Any]) -> str:
    """The page as text. Everything in `values` is escaped, but for charts that we drew ourselves."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spillover.report", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "number": _number, "language": _language_name}
    environment.filters |= {"p_value": p_value, "sentence": lambda text: text[:1].upper() + text[1:]}
    css = read_text(Path(__file__).with_name("page.css"))
    return environment.get_template("page.html.j2").render(css=css, **values)


def gather(run: Run) -> dict[str, Any]:
    """Everything the template shows."""
    manifest = run.manifest()
    comparisons = read_comparisons(run.path / COMPARE) if (run.path / COMPARE / "verdict.json").exists() else []
    findings_path = run.path / "audit" / "findings.json"
    findings = read_findings(findings_path) if findings_path.exists() else None
    config_path = run.path / "config.yaml"
    return {
        "manifest": manifest,
        "comparisons": [
            {"task": found.task, "verdict": found.verdict, "rows": found.languages.to_dict("records")}
            | {"chart": _ours(change_chart(found)), "groups": found.groups.to_dict("records")}
            for found in comparisons
        ],
        "fewest_items": min((int(found.languages["n"].min()) for found in comparisons), default=None),
        "evaluations": _evaluations(run),
        "findings": findings,
        "training": _training(run),
        "probe": _probe(run),
        "figures": [{"chart": _ours(svg(figure.chart)), "caption": figure.caption} for figure in figures(run)],
        "wording": _wording(comparisons),
        "config": read_text(config_path) if config_path.exists() else None,
    }


def _evaluations(run: Run) -> list[dict[str, Any]]:
    """A table of summaries for each finished evaluation, before those of the next model."""
    tables = []
    for folder in sorted((run.path / "evaluate").glob("*/*")):
        try:
            evaluation = read_evaluation(folder)
        except DataError:
            continue  # unfinished: the manifest below shows its state
        rows = [vars(summary) for summary in summarise(evaluation)]
        tables.append(
            {"model": folder.parent.name, "task": evaluation.task, "label_set": evaluation.label_set, "rows": rows}
            | {"name": evaluation.model.name, "fingerprint": evaluation.model.fingerprint}
        )
    return tables


def _training(run: Run) -> dict[str, Any] | None:
    found = training_section(run.path / "train" / "steps.jsonl")
    if found is None:
        return None
    facts = run.manifest()["stages"].get("train", {}).get("facts", {})
    charts = {name: _ours(chart) for name, chart in found.items() if name != "stop" and chart}
    return {"loss": None, "watch": None} | charts | {"stop": found["stop"], "best": facts.get("best")}


def _probe(run: Run) -> list[dict[str, Any]]:
    """What the lens says of the last layer, a row per model, language and kind of words."""
    lens = of_all_models(run, "lens")
    return [] if lens is None else lens[lens["layer"] == lens["layer"].max()].to_dict("records")


def _wording(comparisons: list[Any]) -> list[dict[str, Any]]:
    """Provenance and label words by task and language, for bundled tasks."""
    tables = []
    for comparison in comparisons:
        if comparison.task in bundled_tasks():
            task = load_task(comparison.task)
            codes = [code for code in comparison.languages["language"] if code in task.wordings]
            rows = [
                {"language": code, "provenance": task.wordings[code].provenance}
                | {"labels": " / ".join(task.wordings[code].labels[label] for label in task.labels)}
                for code in codes
            ]
            tables.append({"task": task.name, "rows": rows})
    return tables


def _ours(svg: str) -> Any:
    from markupsafe import Markup

    return Markup(svg)  # vl-convert escapes the texts in it


def _percent(share: float) -> str:
    return "–" if share != share else f"{100 * share:.1f}"


def _points(share: float) -> str:
    return "–" if share != share else f"{100 * share:+.1f}"


def _number(value: float) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _language_name(code: str) -> str:
    return language(code).name
