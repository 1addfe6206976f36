"""What a view is downloaded as, and the Python that gives the same numbers."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from spillover.core.files import plain
from spillover.core.languages import language
from spillover.explore.asked_question import Question
from spillover.explore.results import CHANGES, FlipsView, LanguagesView, LensView, View
from spillover.explore.session import Session
from spillover.stages.report.charts import BLUE, ORANGE, by_category, specification
from spillover.tasks.examples import DEMO

if TYPE_CHECKING:
    import altair as alt

PNG_SCALE = 2
# Spreadsheets read a cell that begins so as a formula (OWASP: CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(view: View) -> str:
    """A row per label, layer or language of each model. A text that a spreadsheet would compute has a quote before."""
    rows = view.rows()
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def json_text(view: View) -> str:
    """The question and all results; what is undefined is null."""
    question = None if view.question is None else asdict(view.question)
    value = {"tab": view.tab, "question": question, "options": dict(view.options), "rows": view.rows()}
    value |= {"results": [_plain(result) for result in view.results]}
    return json.dumps(plain(value), ensure_ascii=False, indent=1)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def png_bytes(view: View) -> bytes:
    """The view as a picture."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(specification(chart_of(view)), scale=PNG_SCALE))


def chart_of(view: View) -> alt.TopLevelMixin:
    """The chart of a view: bars of the labels, the lens's curves, the margin by language and layer, or how many items
    flipped by language."""
    charts = {"ask": _answers_chart, "layers": _lens_chart, "languages": _languages_chart, "run": _flips_chart}
    return charts[view.tab](view)


def _answers_chart(view: View) -> alt.TopLevelMixin:
    import altair as alt
    import pandas as pd

    rows = pd.DataFrame(view.rows()).rename(columns={"probability": "raw"})
    long = rows.melt(["model", "label", "word"], ["raw", "calibrated"], "kind", "probability").dropna()
    long = long.assign(name=long["label"] + " (" + long["word"] + ")")
    bars = alt.Chart(long).mark_bar()
    encoded = bars.encode(
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("kind:N", title=None, sort=["raw", "calibrated"]),
        color=by_category(alt.Color, "kind", {"raw": BLUE, "calibrated": ORANGE}),
        row=alt.Row("name:N", title=None, sort=list(dict.fromkeys(long["name"]))),
        column=alt.Column("model:N", title=None, sort=list(dict.fromkeys(long["model"]))),
    )
    return encoded.properties(width=260)


def _lens_chart(view: View) -> alt.TopLevelMixin:
    import altair as alt
    import pandas as pd

    curves = [
        {"model": lens.model, "layer": layer, "words": f"{curve.words}: {curve.word}", "probability": float(value)}
        for lens in view.results
        if isinstance(lens, LensView)
        for curve in lens.curves
        for layer, value in enumerate(curve.whole)
    ]
    lines = alt.Chart(pd.DataFrame(curves, columns=["model", "layer", "words", "probability"])).mark_line(point=True)
    encoded = lines.encode(
        x=alt.X("layer:Q"),
        y=alt.Y("probability:Q", title="probability of the whole word", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("words:N", title=None),
        strokeDash=alt.StrokeDash("words:N", title=None),
        column=alt.Column("model:N", title=None),
    )
    return encoded.properties(width=360)


def _languages_chart(view: View) -> alt.TopLevelMixin:
    import altair as alt
    import pandas as pd

    margins = [
        {"model": row.model, "name": language(row.language).name, "layer": layer, "margin": float(value)}
        for found in view.results
        if isinstance(found, LanguagesView)
        for row in found.rows_by_language
        for layer, value in enumerate(row.margin)
        if not math.isnan(value)
    ]
    cells = alt.Chart(pd.DataFrame(margins, columns=["model", "name", "layer", "margin"])).mark_rect()
    return cells.encode(
        x=alt.X("layer:O", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("name:N", title=None, sort=None),
        color=alt.Color("margin:Q", title="cosine above that with other items", scale=alt.Scale(scheme="blues")),
        column=alt.Column("model:N", title=None),
    )


def _flips_chart(view: View) -> alt.TopLevelMixin:
    import altair as alt
    import pandas as pd

    found = [item for flips in view.results if isinstance(flips, FlipsView) for item in flips.items]
    rows = [{"name": language(item.language).name, "change": item.change} for item in found]
    bars = alt.Chart(pd.DataFrame(rows, columns=["name", "change"])).mark_bar()
    return bars.encode(
        x=alt.X("count():Q", title="flipped items"),
        y=alt.Y("name:N", title=None, sort="-x"),
        color=by_category(alt.Color, "change", dict(zip(CHANGES, (BLUE, ORANGE), strict=True))),
    )


def python_of(view: View, session: Session) -> str:
    """Python that gives the same numbers."""
    opening = _opening(session)
    lines = ["from spillover.core.config import EvaluateConfig"] if opening[-1].startswith("config=") else []
    opened = f"session = open_session({', '.join(opening)})"
    if view.question is None:
        lines += ["from spillover.explore import open_session"]
        lines += ["from spillover.explore.run_items import open_run_items", "", opened]
        keys = {"of": "language", "change": "change"}
        chosen = ", ".join(f"{name}={view.options[key]!r}" for key, name in keys.items() if key in view.options)
        lines += [f"print(open_run_items({view.options['run']!r}, session).flips({chosen}).rows())"]
        return "\n".join(lines) + "\n"
    lines += ["from spillover.explore import Question, open_session"]
    pasted = view.options.get("translations", "")
    lines += ["from spillover.explore.session import pasted_translations"] if pasted else []
    lines += ["", opened, f"question = {_question_text(view.question)}"]
    if view.tab == "languages":
        texts = f"pasted_translations(question, {pasted!r})" if pasted else "session.in_languages(question)"
        lines += [f"*_, view = session.languages(question, {texts})", "print(view.rows())"]
    else:
        call = "answers(question)" if view.tab == "ask" else f"lens(question, places={view.options['places']})"
        lines += [f"for result in session.{call}:", "    print(result.rows())"]
    return "\n".join(lines) + "\n"


def _opening(session: Session) -> list[str]:
    """The arguments of `open_session` that give these models."""
    arguments = [repr(session.opening["name"])]
    arguments += [f"{key}={value!r}" for key, value in session.opening.items() if key != "name"]
    arguments += [f"data={session.data!r}"] if session.data != DEMO else []
    changed = session.config.model_dump(exclude_defaults=True)
    settings = ", ".join(f"{key}={value!r}" for key, value in changed.items())
    return arguments + ([f"config=EvaluateConfig({settings})"] if changed else [])


def _question_text(question: Question) -> str:
    """The question as Python, without what is as by default."""
    given = [
        f"{field.name}={getattr(question, field.name)!r}"
        for field in fields(question)
        if getattr(question, field.name) != field.default
    ]
    return f"Question({', '.join(given)})"
