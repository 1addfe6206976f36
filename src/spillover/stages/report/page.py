"""A run folder → report.html: one file, no request to anywhere. Reads tables, loads no model.

1. Gather what the folder holds; a stage that is missing leaves its part out, and the page says so.
2. Put in the charts as Vega-Lite, the scripts that draw them, the first picture as SVG too, for where no script runs.
3. Render the template with every text escaped. The page's policy names the hash of each script, and no other runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.files import as_data_error, atomic, plain, read_table, read_text
from spillover.core.languages import language
from spillover.core.runs import Run, existing_run
from spillover.core.types import Evaluation
from spillover.stages.audit.findings import read_findings
from spillover.stages.compare.format import p_value, percent, points
from spillover.stages.compare.language_groups import group_title
from spillover.stages.report import provenance as made
from spillover.stages.report.charts import Figure, of_all_models, packed, slug, specification, svg, table_values
from spillover.stages.report.figures import comparison_figures, inside_figures
from spillover.stages.report.flips import changed_items
from spillover.stages.report.multi_run import comparisons, runs_table, transfer_figures
from spillover.stages.report.score_summaries import compared, read_all_evaluations, summaries, summary_tables
from spillover.stages.report.training import read_steps, stopped, training_figures
from spillover.stages.report.warnings import facts, warnings
from spillover.stats.summary import Summary
from spillover.tasks.wording import bundled_tasks, load_task

if TYPE_CHECKING:
    from spillover.stages.compare.result import Comparison

ESCAPES = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def report(path: Path | str, *others: Path | str, title: str | None = None, out: Path | str | None = None) -> Path:
    """Write the page of a run folder, and return its path: `<run>/report.html` unless `out` says another file. others:
    more runs for the same page, which is the first one's. RunError when a folder holds no run, DataError names a
    damaged file; then nothing is written."""
    runs = [existing_run(one) for one in (path, *others)]
    heading = title or runs[0].manifest().get("name") or runs[0].path.name
    text = render_page(gather(runs) | {"title": heading})
    target = Path(out) if out is not None else runs[0].path / "report.html"
    with atomic(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def render_page(values: Mapping[str, Any]) -> str:
    """The page as text. Everything in `values` is escaped, but for what we drew or encoded ourselves."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spillover.stages.report", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "number": _number, "language": _language_name}
    environment.filters |= {"p_value": p_value, "sentence": lambda text: text[:1].upper() + text[1:]}
    environment.filters |= {"slug": slug, "json": data_block, "raw": raw, "known": language}
    css = read_text(Path(__file__).with_name("page.css"))
    scripts = [_script(drawing()), _script(read_text(Path(__file__).with_name("page.js")))]
    policy = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return environment.get_template("page.html.j2").render(css=css, scripts=scripts, policy=policy, **values)


@cache
def drawing() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, names kept to itself."""
    import vl_convert

    return f"(()=>{{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}})();"


def _script(text: str) -> str:
    """A script as it may stand in a page: nothing in it ends the element."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--").strip()


def data_block(value: Any) -> Any:
    """A value as JSON that may stand in a script element of a data type: no character of it ends the element."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char, escape in ESCAPES.items():
        text = text.replace(char, escape)
    return raw(text)


def raw(text: str) -> Any:
    """Text that is not escaped: our scripts and styles, charts that vl-convert drew, JSON that `data_block` wrote."""
    from markupsafe import Markup

    return Markup(text)


def gather(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything the template shows; the first run's, and a part on all of them."""
    run = runs[0]
    found, evaluations = comparisons(run), read_all_evaluations(run)
    summaries_by_folder = summaries(evaluations)
    findings_path = run.path / "audit" / "findings.json"
    findings = None
    if findings_path.exists():
        with as_data_error(findings_path):
            findings = read_findings(findings_path)
    wording = _wording(
        [(one.task, code) for one in found for code in one.languages["language"]]
        + [(one.task, code) for one in evaluations.values() for code in one.scores]
    )
    command, config = made.repeat(run)
    return {
        "manifest": run.manifest(),
        "facts": facts(run, list(evaluations.values()), found),
        "parts": [_part(run, one, evaluations, summaries_by_folder, findings, wording) for one in found],
        "evaluations": summary_tables(evaluations, summaries_by_folder),
        "findings": findings,
        "training": _training(run),
        "inside": [drawn(figure) for figure in inside_figures(run)],
        "probe": _last_layer(run),
        "questions": _questions(run),
        "wording": wording,
        "runs": runs_table(runs) if len(runs) > 1 else [],
        "transfer": [drawn(figure) for figure in transfer_figures(runs)] if len(runs) > 1 else [],
        "stages": made.stages(run.manifest()),
        "absent": made.absent(run, found),
        "command": command,
        "config": config,
        "samples": [
            {"language": language(row["language"]).name, "text": row["labels"]}
            for table in wording
            for row in table["rows"]
        ],
    }


def drawn(figure: Figure, *, still: bool = False) -> dict[str, Any]:
    """A figure as the template has it; `still`: with its SVG, which is seen where no script runs."""
    return {
        "name": figure.name,
        "caption": figure.caption,
        "svg": raw(svg(figure.chart, background=None)) if still else "",
        "data": {"chart": packed(specification(figure.chart, background=None)), "table": table_values(figure.table)},
    }


def _part(
    run: Run,
    found: Comparison,
    evaluations: Mapping[Path, Evaluation],
    summaries_by_folder: Mapping[Path, Sequence[Summary]],
    findings: Any,
    wording: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What the page says of one task."""
    sides = compared(run, dict(evaluations), found.task)
    own = [dict(table) for table in wording if table["task"] == found.task]
    first, *rest = comparison_figures(run, found)
    headline = next((one for one in found.verdict if one.about == "headline"), None)
    changed = changed_items(*sides) if sides else None
    names = {code: language(code).name for code in found.languages["language"]}
    return {
        "task": found.task,
        "level": f"{100 * found.level:g}",
        "headline": headline.numbers if headline else None,
        "sentences": [one.text for one in found.verdict if one.about not in ("headline", "explanation")],
        "explanation": [one.text for one in found.verdict if one.about == "explanation"],
        "warnings": warnings(found, summaries_by_folder[sides[-1][0]] if sides else [], findings, own),
        "picture": drawn(first, still=True),
        "figures": dict.fromkeys(("split", "placebo", "seeds"))
        | {figure.name.partition("-")[0]: drawn(figure) for figure in rest},
        "rows": found.languages.to_dict("records"),
        "groups": [row | {"group": group_title(row["group"], row["kind"])} for row in found.groups.to_dict("records")],
        "csv": base64.b64encode(found.languages.to_csv(index=False).encode()).decode(),
        "items": changed and changed | {"names": names},
        "contrasts": found.contrasts is not None,
        "seeds": found.seeds is not None,
    }


def _training(run: Run) -> dict[str, Any] | None:
    path = run.path / "train" / "steps.jsonl"
    if not path.exists():
        return None
    stage_facts = run.manifest()["stages"].get("train", {}).get("facts", {})
    figures = [drawn(figure) for figure in training_figures(path)]
    return {"figures": figures, "stop": stopped(read_steps(path)), "best": stage_facts.get("best")}


def _last_layer(run: Run) -> list[dict[str, Any]]:
    """What the lens says of the last layer, a row per model, language and kind of words."""
    needed = ("answer_clears", "answer_low", "answer_high", "rank", "shared_tokens")
    lens = of_all_models(run, "lens", needed)
    return [] if lens is None else lens[lens["layer"] == lens["layer"].max()].to_dict("records")


def _questions(run: Run) -> list[dict[str, Any]]:
    """Do flipped predictions and changed states go together: a row per question."""
    path = run.path / "compare" / "questions.parquet"
    needed = [
        "turned",
        "move",
        "n_turned",
        "n_others",
        "share_turned",
        "share_others",
        "effect",
        "p",
        "holm_p",
        "reason",
    ]
    rows: list[dict[str, Any]] = read_table(path, needed).to_dict("records") if path.exists() else []  # type: ignore[assignment]
    return rows


def _wording(used: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Provenance and label words by task and language, for bundled tasks. used: (task, language) pairs."""
    tables = []
    for name in dict.fromkeys(task for task, _ in used):
        if name in bundled_tasks():
            task = load_task(name)
            rows = [
                {"language": code, "provenance": task.wordings[code].provenance}
                | {"labels": " / ".join(task.wordings[code].labels[label] for label in task.labels)}
                for code in dict.fromkeys(code for own, code in used if own == name)
                if code in task.wordings
            ]
            tables.append({"task": task.name, "rows": rows})
    return [table for table in tables if table["rows"]]


def _number(value: float) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _language_name(code: str) -> str:
    return language(code).name
