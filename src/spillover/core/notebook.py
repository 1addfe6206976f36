"""How results show themselves in a notebook: HTML of escaped text that reads on a light and on a dark page.

No script, no class and no colour but the page's own: text has the colour of what is around it, lines and shades are a
half-transparent grey. Long tables are cut, and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from spillover.core.visible_text import visible

MOST_ROWS, MOST_LETTERS, LONGEST_PARAGRAPH = 60, 300, 2000
GREY = "rgba(128, 128, 128, .35)"
CELL = f"padding: .15em .6em; border-bottom: 1px solid {GREY}; text-align: left; vertical-align: top; background: none"


def shown_text(value: object, longest: int = MOST_LETTERS) -> Markup:
    """A text in one line, escaped, and cut where it is longer than `longest`."""
    text = visible(str(value))
    return escape(text if len(text) <= longest else text[: longest - 1] + "…")


def block(title: str, *parts: Markup) -> str:
    """A result: its title and its parts, below each other."""
    style = "overflow-x: auto; max-width: 100%; line-height: 1.4"
    heading = Markup('<div style="font-weight: 600">{}</div>').format(shown_text(title)) if title else Markup()
    return str(Markup('<div style="{}">{}{}</div>').format(Markup(style), heading, Markup().join(parts)))


def paragraph(text: str) -> Markup:
    """A line of text."""
    return Markup('<div style="margin: .2em 0">{}</div>').format(shown_text(text, LONGEST_PARAGRAPH))


def bullets(texts: Iterable[str]) -> Markup:
    """A list of texts; nothing for none."""
    items = [Markup("<li>{}</li>").format(shown_text(text, LONGEST_PARAGRAPH)) for text in texts]
    return Markup('<ul style="margin: .2em 0">{}</ul>').format(Markup().join(items)) if items else Markup()


def folded(summary: str, *parts: Markup) -> Markup:
    """Parts that a click opens."""
    return Markup('<details style="margin: .2em 0"><summary>{}</summary>{}</details>').format(
        shown_text(summary), Markup().join(parts)
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, shades: bool = False) -> Markup:
    """A table, of which the first column names the rows. shades: cells are (text, share) pairs after the first column,
    the greyer, the larger their share in [0, 1]."""
    rows = list(rows)
    head = Markup().join(
        Markup('<th scope="col" style="{}">{}</th>').format(CELL, shown_text(name)) for name in headings
    )
    body = Markup().join(_row(row, shades=shades) for row in rows[:MOST_ROWS])
    style = "border-collapse: collapse; font-size: .9em; font-variant-numeric: tabular-nums; margin: .3em 0"
    drawn = Markup('<table style="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(style, head, body)
    hidden = len(rows) - MOST_ROWS
    return drawn + (paragraph(f"and {hidden} more rows") if hidden > 0 else Markup())


def _row(row: Sequence[Any], *, shades: bool) -> Markup:
    name, *cells = row
    columns = [Markup('<th scope="row" style="{}; font-weight: 500">{}</th>').format(CELL, shown_text(name))]
    for text, share in cells if shades else [(cell, None) for cell in cells]:
        shade = "none" if share is None else f"rgba(128, 128, 128, {0.6 * share:.2f})"
        style = CELL.replace("background: none", f"background: {shade}")
        # Texts of right-to-left languages keep their direction inside their own cell.
        columns.append(Markup('<td dir="auto" style="{}">{}</td>').format(style, shown_text(text)))
    return Markup("<tr>{}</tr>").format(Markup().join(columns))
