"""The figures of the concept pages, from made-up scores and the project's own statistics: `make figures`.

1. docs/concepts/label-bias.svg: the same scores with and without a bias; accuracy moves, AUROC does not.
2. docs/concepts/placebo.svg: changes of a real and a placebo arm, and their contrast, with intervals.
3. docs/concepts/power.svg: the smallest change that n items detect.
"""

from __future__ import annotations

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from spillover.core.types import Floats
from spillover.stages.report.charts import BLUE, GREY, ORANGE, SHAPES, by_category, line_at, svg
from spillover.stats.auroc import auroc_influence
from spillover.stats.intervals import adjusted_wald
from spillover.stats.power import area_deviation, minimum_detectable, minimum_detectable_mean

CONCEPTS = Path(__file__).resolve().parent.parent / "docs" / "concepts"
LARGEST = 60_000  # bytes of a file
WIDTH = 560


def main() -> None:
    """Write the figures and print their sizes."""
    for name, chart in {"label-bias": label_bias(), "placebo": placebo(), "power": power()}.items():
        path = CONCEPTS / f"{name}.svg"
        path.write_text(svg(chart) + "\n", encoding="utf-8")
        size = path.stat().st_size
        assert size < LARGEST, f"{path}: {size:,} bytes"
        print(f"{path.relative_to(CONCEPTS.parents[1])}: {size:,} bytes")


def label_bias(items: int = 4000, gap: float = 1.6, bias: float = 1.5) -> alt.TopLevelMixin:
    """Two panels of one sample of scores, the first with a constant added to all."""
    rng = np.random.default_rng(0)
    gold = np.repeat([0, 1], items // 2)
    scores = rng.normal(0, 1, items) + gap * (gold - 0.5)
    return alt.vconcat(
        *(_score_panel(scores + shift, gold, title) for shift, title in ((bias, "biased"), (0.0, "unbiased")))
    ).resolve_scale(x="shared")


def _score_panel(scores: Floats, gold: np.ndarray, title: str) -> alt.LayerChart:
    """Densities of the scores of both labels, the threshold, and accuracy and AUROC in the heading."""
    from scipy.stats import gaussian_kde

    at = np.linspace(-4.5, 6, 90)
    rows = pd.concat(
        pd.DataFrame({"score": at, "density": gaussian_kde(scores[gold == label])(at).round(4), "items": name})
        for label, name in ((0, "negative items"), (1, "positive items"))
    )
    values = np.stack([-scores, scores], axis=1) / 2
    accuracy = float((values.argmax(axis=1) == gold).mean())
    area = auroc_influence(values, gold)[0]
    heading = f"{title}: accuracy {100 * accuracy:.0f} %, AUROC {area:.2f}"
    base = alt.Chart(rows).encode(
        x=alt.X("score:Q", title="log-probability of “positive” minus that of “negative”"),
        y=alt.Y("density:Q", title=None, axis=None, stack=None, scale=alt.Scale(domain=[0, 0.5])),
        color=by_category(alt.Color, "items", {"negative items": ORANGE, "positive items": BLUE}),
    )
    once = alt.Chart(alt.Data(values=[{}])).encode(x=alt.XDatum(0.0), y=alt.YValue(8))
    sides = (("right", -8, "← answered “negative”"), ("left", 8, "answered “positive” →"))
    notes = [once.mark_text(align=align, dx=dx, text=text, color=GREY) for align, dx, text in sides]
    return alt.layer(base.mark_area(opacity=0.35), base.mark_line(), line_at(0.0), *notes).properties(
        width=WIDTH, height=120, title=alt.TitleParams(heading, anchor="start")
    )


def placebo(items: int = 400) -> alt.TopLevelMixin:
    """The change of each arm and the contrast: answers of both arms flip mostly on the same items."""
    rng = np.random.default_rng(1)
    before = (rng.random(items) < 0.6).astype(float)
    flips = rng.random(items) < 0.24
    common = np.where(flips, (rng.random(items) < 0.69).astype(float), before)

    def arm(own: float) -> Floats:
        return np.where(rng.random(items) < own, (rng.random(items) < 0.6).astype(float), common)

    real, control = arm(0.03), arm(0.03)
    rows = [
        {"what": what, "change": 100 * estimate.delta, "low": 100 * estimate.low, "high": 100 * estimate.high}
        for what, difference in (
            ("real arm, after minus before", real - before),
            ("placebo, after minus before", control - before),
            ("contrast, real minus placebo", real - control),
        )
        for estimate in [adjusted_wald(difference, 0.95)]
    ]
    order = [row["what"] for row in rows]
    styles = {order[0]: BLUE, order[1]: GREY, order[2]: ORANGE}
    y = alt.Y("what:N", sort=order, title=None, axis=alt.Axis(labelLimit=300))
    base = alt.Chart(pd.DataFrame(rows)).encode(y=y, color=by_category(alt.Color, "what", styles, legend=None))
    return alt.layer(
        line_at(0.0),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="accuracy, points (95 % interval)"), x2="high:Q"),
        base.mark_point(filled=True, size=90).encode(
            x="change:Q", shape=by_category(alt.Shape, "what", dict(zip(order, SHAPES, strict=False)), legend=None)
        ),
    ).properties(width=WIDTH - 160, height=130)


def power() -> alt.TopLevelMixin:
    """Minimum detectable change by number of items: accuracy by discordance, AUROC by correlation; power 80 %."""
    items = [50, 100, 200, 400, 800, 1600, 3200]
    rows = [
        {"items": n, "change": round(100 * change, 3), "measure": measure}
        for n in items
        for measure, change in (
            ("accuracy, 20 % of the items flip", minimum_detectable(n, 0.2)),
            ("accuracy, 5 % of the items flip", minimum_detectable(n, 0.05)),
            ("AUROC .70, correlation 0", _detectable_area(n, 0.0)),
            ("AUROC .70, correlation .9", _detectable_area(n, 0.9)),
        )
    ]
    names = list(dict.fromkeys(row["measure"] for row in rows))
    colours, dashes = dict(zip(names, (BLUE, BLUE, ORANGE, ORANGE), strict=True)), ([1, 0], [5, 3], [1, 0], [5, 3])
    shapes = dict(zip(names, SHAPES, strict=False))
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("items:Q", title="items", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(values=items)),
        y=alt.Y("change:Q", title="smallest change, points (AUROC: hundredths)"),
        color=by_category(alt.Color, "measure", colours, legend=alt.Legend(orient="right", labelLimit=260)),
    )
    return alt.layer(
        base.mark_line().encode(
            strokeDash=by_category(alt.StrokeDash, "measure", dict(zip(names, dashes, strict=True)), legend=None)
        ),
        base.mark_point(filled=True, size=50).encode(
            shape=by_category(alt.Shape, "measure", shapes, legend=alt.Legend(orient="right", labelLimit=260))
        ),
    ).properties(width=WIDTH - 150, height=260)


def _detectable_area(items: int, correlation: float, before: float = 0.7) -> float:
    """The smallest rise of an AUROC of `before`, in units of area: the fixed point of its own standard error."""
    change = 0.05
    for _ in range(50):
        after = min(before + change, 0.999)
        change = minimum_detectable_mean(area_deviation(before, after, correlation=correlation) / items**0.5)
    return change


if __name__ == "__main__":
    main()
