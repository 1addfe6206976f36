"""Results as HTML. Every text of others is escaped here, and nowhere else is HTML written.

Gradio reads HTML as a template too: braces, dollars and backticks are escaped with what HTML itself would read.
Controls that would act in place of being read, such as right-to-left marks, are shown as escapes. A text lies in an
element with `dir=auto`, so that each script runs in its own direction.
"""

from __future__ import annotations

import html
import math
import time
from collections.abc import Sequence

from spillover.core.errors import ConfigError
from spillover.core.languages import language
from spillover.core.visible_text import visible
from spillover.explore.results import Answer, FlipsView, LanguageAnswer, LanguagesView, LensView, Token

TEMPLATE = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})
WHITESPACE = str.maketrans({" ": "·", "\n": "↵", "\t": "→"})
DASH = "–"
MOST_ROWS = 500
# The heat of a cell stays so light that black or white letters are read on it.
MOST_HEAT = 65
NAMES = {"reference": "in {}", "native": "own word", "romanised": "romanised", "asked": "asked word"}


def text_html(text: str) -> str:
    """A text of others, as text."""
    return html.escape(visible(text)).translate(TEMPLATE)


def _bdi(text: str, css: str = "") -> str:
    return f'<bdi dir="auto"{f" class={css}" if css else ""}>{text_html(text)}</bdi>'


def token_html(token: str) -> str:
    """A token with its whitespace visible."""
    return _bdi(token.translate(WHITESPACE))


def status_html(text: str) -> str:
    """What is going on, read out by a screen reader when it changes."""
    return f'<p role="status" {_moment()}>{text_html(text)}</p>'


def error_html(problem: str, hint: str) -> str:
    """What is wrong, and the cure."""
    cure = f" <em>Try: {text_html(hint)}</em>" if hint else ""
    return f'<p role="alert" class="sp-error" {_moment()}>{text_html(problem)}{cure}</p>'


def _moment() -> str:
    """An attribute that no two lines have: a line with the same words as the one before is shown, and read out, anew.
    Gradio replaces nothing by HTML that is the same."""
    return f'data-moment="{time.monotonic_ns()}"'


def _percent(share: float) -> str:
    return DASH if math.isnan(share) else f"{100 * share:.1f} %"


def _bar(share: float, label: str) -> str:
    """A cell with a share in [0, 1] as a bar and as a number."""
    if math.isnan(share):
        return f'<td class="sp-number" data-label="{label}">{DASH}</td>'
    return (
        f'<td class="sp-number" data-label="{label}"><span class="sp-bar" style="width:{100 * share:.1f}%"></span>'
        f"<span>{_percent(share)}</span></td>"
    )


def _table(caption: str, head: Sequence[str], rows: Sequence[str], css: str = "") -> str:
    headings = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (
        f'<div class="sp-scroll" tabindex="0" role="region" aria-label="{caption}"><table class="sp {css}">'
        f"<caption>{caption}</caption><thead><tr>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def answers_html(answers: Sequence[Answer]) -> str:
    """A row per label; for each model the probability, raw and calibrated, and the log-probability."""
    if not answers:
        return ""
    first = answers[0]
    names = [text_html(answer.model) for answer in answers]
    head = [
        "label",
        "word",
        *(f"{name}: {kind}" for name in names for kind in ("raw", "calibrated", "log-probability")),
    ]
    rows = []
    for i, label in enumerate(first.labels):
        cells = ""
        for name, answer in zip(names, answers, strict=True):
            cells += _bar(float(answer.probabilities[i]), f"{name}: raw")
            cells += _bar(float(answer.calibrated[i]), f"{name}: calibrated")
            cells += f'<td class="sp-number" data-label="{name}: log-probability">{answer.logprobs[i]:.4f}</td>'
        rows.append(
            f'<tr><th scope="row">{text_html(label)}</th><td data-label="word">{_bdi(first.words[i])}</td>{cells}</tr>'
        )
    leads = "; ".join(
        f"{name} leans to <strong>{text_html(answer.labels[answer.best])}</strong> "
        f"({_bdi(answer.words[answer.best])}), "
        f"{_percent(float(answer.probabilities[answer.best]))}"
        for name, answer in zip(names, answers, strict=True)
    )
    note = f"<p>{text_html(first.reason)}</p>" if first.reason else ""
    return f"<p class=sp-lead>{leads}</p>{_table('Probability of each label', head, rows, 'sp-stack')}{note}"


def lens_html(views: Sequence[LensView], reference: str) -> str:
    """For each model the words that each layer predicts at each position, and the curves. reference: the reference
    language's name."""
    return "".join(_heatmap(view) + _curves(view, reference) for view in views)


def _heatmap(view: LensView) -> str:
    head = ["layer", *(token_html(token) for token in view.positions)]
    last = len(view.cells) - 1
    rows = []
    for layer in range(last, -1, -1):
        cells = "".join(
            _cell(cell, f"{view.model}, layer {layer}, position {i + 1}") for i, cell in enumerate(view.cells[layer])
        )
        rows.append(f'<tr><th scope="row">{layer}</th>{cells}</tr>')
    caption = f"{text_html(view.model)}: the most probable next token by layer, after each of the prompt's last tokens"
    detail = (
        '<div class="sp-detail" role="status" aria-live="polite">Click a cell for its ten most probable tokens.</div>'
    )
    return f'<section class="sp-lens">{_table(caption, head, rows, "sp-heat")}{detail}</section>'


def _cell(tokens: Sequence[Token], place: str) -> str:
    """A cell as a button; its tokens and probabilities are its attributes, which page.js shows as text."""
    best = tokens[0]
    shown = best.text.translate(WHITESPACE)
    listed = "\n".join(
        f"{100 * token.probability:.2f} %\t{visible(token.text.translate(WHITESPACE))}" for token in tokens
    )
    return (
        f'<td style="--heat:{MOST_HEAT * best.probability:.0f}%"><button type="button" class="sp-cell" '
        f'data-place="{text_html(place)}" data-tokens="{html.escape(listed).translate(TEMPLATE)}" '
        f'aria-label="{text_html(place)}: {text_html(shown)}, {_percent(best.probability)}">{_bdi(shown)}</button></td>'
    )


def _curves(view: LensView, reference: str) -> str:
    if not view.curves:
        return f"<p>{text_html(view.reason)}</p>"
    names = [f"{NAMES[curve.words].format(reference)}: {_bdi(curve.word)}" for curve in view.curves]
    head = ["layer", *names, "entropy, bits"]
    most = max(float(view.entropy.max()), 1e-9)
    rows = []
    for layer in range(len(view.cells) - 1, -1, -1):
        bars = "".join(_bar(float(curve.whole[layer]), "") for curve in view.curves)
        entropy = float(view.entropy[layer])
        rows.append(
            f'<tr><th scope="row">{layer}</th>{bars}<td class="sp-number"><span class="sp-bar sp-grey" '
            f'style="width:{100 * entropy / most:.1f}%"></span><span>{entropy:.2f}</span></td></tr>'
        )
    peaks = "; ".join(
        f"{name} peaks at layer {int(curve.whole.argmax())} with {_percent(float(curve.whole.max()))}"
        for name, curve in zip(names, view.curves, strict=True)
    )
    lead = (
        f"{text_html(view.model)} answers <strong>{text_html(view.answer)}</strong>; "
        f"it leads from layer {view.decided} on"
    )
    caption = f"{text_html(view.model)}: probability of the answer's word by layer, at the last position"
    return f"<p class=sp-lead>{lead}. {peaks}.</p>{_table(caption, head, rows)}"


def languages_html(view: LanguagesView) -> str:
    """For each model a table of answers by language, and one of the margin by language and layer."""
    parts = []
    for model in view.models:
        rows = view.of(model)
        parts.append(_language_answers(model, rows) + _margins(model, rows, view))
    return "".join(parts)


def _language_answers(model: str, rows: Sequence[LanguageAnswer]) -> str:
    labels = next((row.answer.labels for row in rows if row.answer), ())
    head = ["language", "answer", *map(text_html, labels), "text"]
    lines = []
    for row in rows:
        name = f'<th scope="row">{_language_name(row.language)}</th>'
        if row.answer is None:
            lines.append(
                f'<tr>{name}<td colspan="{len(labels) + 1}">{text_html(row.reason)}</td><td>{_bdi(row.text)}</td></tr>'
            )
            continue
        best = f'<td data-label="answer"><strong>{text_html(row.answer.labels[row.answer.best])}</strong></td>'
        bars = "".join(
            _bar(float(share), text_html(label))
            for label, share in zip(row.answer.labels, row.answer.probabilities, strict=True)
        )
        lines.append(f'<tr>{name}{best}{bars}<td class="sp-text">{_bdi(row.text)}</td></tr>')
    return _table(f"{text_html(model)}: answers by language", head, lines)


def _margins(model: str, rows: Sequence[LanguageAnswer], view: LanguagesView) -> str:
    defined = [row for row in rows if row.answer and len(row.margin) and not math.isnan(row.margin[0])]
    if not defined:
        reasons = {row.reason for row in rows if row.reason}
        return f"<p>Similarity is undefined: {text_html('; '.join(sorted(reasons)))}</p>"
    split = view.split(model)
    most = max(float(row.margin.max()) for row in defined if row.language != view.reference or len(defined) == 1)
    head = ["language", *(f"{layer}{' ▾' if layer == split else ''}" for layer in range(len(defined[0].margin)))]
    lines = []
    for row in defined:
        cells = "".join(
            f'<td style="--heat:{MOST_HEAT * min(1.0, max(0.0, value) / max(most, 1e-9)):.0f}%" '
            f'title="cosine {row.similarity[layer]:.3f}, with other items {row.other[layer]:.3f}">{value:.2f}</td>'
            for layer, value in enumerate(row.margin)
        )
        lines.append(f'<tr><th scope="row">{_language_name(row.language)}</th>{cells}</tr>')
    name = text_html(language(view.reference).name)
    caption = (
        f"{text_html(model)}: similarity to the {name} counterpart by layer: cosine of the mean states, less that with "
        f"other items in {name}"
    )
    lead = (
        ""
        if split is None
        else f"<p class=sp-lead>The languages are nearest at layer {split} (▾), and split after it.</p>"
    )
    return _table(caption, head, lines, "sp-heat") + lead


def _language_name(code: str) -> str:
    try:
        found = language(code)
    except ConfigError:
        return text_html(code)
    return f"{text_html(found.name)} {_bdi(found.endonym, 'sp-endonym')}"


def flips_html(view: FlipsView) -> str:
    """A row per item, at most `MOST_ROWS`, each with a button that loads it."""
    head = ["item", "language", "text", "gold", "base", text_html(view.after)]
    rows = []
    for number, item in enumerate(view.items[:MOST_ROWS]):
        change = item.change
        rows.append(
            f'<tr><th scope="row"><button type="button" class="sp-item" data-item="{number}" '
            f'aria-label="Load {text_html(item.id)}, {change}">{text_html(item.id)}</button></th>'
            f'<td data-label="language">{_language_name(item.language)}</td>'
            f'<td class="sp-text" data-label="text">{_bdi(item.text)}</td>'
            f'<td data-label="gold">{text_html(item.gold)}</td><td data-label="base">{text_html(item.before)}</td>'
            f'<td data-label="after">{text_html(item.after)} ({change})</td></tr>'
        )
    return _table(f"{len(view.items)} flipped items", head, rows, "sp-stack")
