"""The page, and the page of a single chart, as text: every text escaped; a policy names the hash of each script."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.files import plain, read_text
from spillover.core.languages import language
from spillover.stages.compare.format import p_value, percent, points
from spillover.stages.report.charts import Figure, slug, specification, svg, table_values
from spillover.stages.report.column_reference import column_text
from spillover.stages.report.markdown import code, markdown

if TYPE_CHECKING:
    import jinja2

ESCAPES = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_page(values: Mapping[str, Any]) -> str:
    """The page as text. Everything in `values` is escaped, but for what we drew or encoded ourselves."""
    css = read_text(Path(__file__).with_name("page.css"))
    scripts = [_script(vega()), _script(read_text(Path(__file__).with_name("page.js")))]
    policy = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return template("page.html.j2", autoescape=True).render(css=css, scripts=scripts, policy=policy, **values)


def figure_page(title: str, chart: Mapping[str, Any]) -> str:
    """One chart as a page of its own that makes no request. chart: Vega-Lite. Every text in it is escaped."""
    vega_script = _script(vega())
    return template("figure.html.j2", autoescape=True).render(title=title, chart=chart, vega=vega_script)


@cache
def template(name: str, *, autoescape: bool) -> jinja2.Template:
    """A template of this folder, with the filters that write numbers and languages."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spillover.stages.report", package_path=""),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "points": points, "p_value": p_value, "number": _number}
    environment.filters |= {"slug": slug, "sentence": _sentence, "language": lambda code: language(code).name}
    environment.globals |= {"column_text": column_text}
    environment.filters |= {"json": json_block, "raw": raw, "markdown": markdown, "code": code}
    return environment.get_template(name)


def figure_block(figure: Figure, *, with_svg: bool = False) -> dict[str, Any]:
    """A figure as the template takes it. with_svg: also as SVG, which is shown where no script runs."""
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "svg": raw(svg(figure.chart, background=None)) if with_svg else "",
        "data": {
            "chart": specification(figure.chart, background=None, by_column=True),
            "table": table_values(figure.table),
        },
    }


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script with no global name but `vegaEmbed`. Bundled once a process, which
    takes more than a second."""
    import vl_convert

    return f"(()=>{{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}})();"


def _script(text: str) -> str:
    """A script as it may stand in a page: nothing in it ends the element."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--").strip()


def json_block(value: Any) -> Any:
    """A value as JSON that may stand in a script element of a data type: no character of it ends the element."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char, escape in ESCAPES.items():
        text = text.replace(char, escape)
    return raw(text)


def raw(text: str) -> Any:
    """Text that is not escaped: our scripts and styles, charts that vl-convert drew, JSON that `json_block` wrote."""
    from markupsafe import Markup

    return Markup(text)


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
