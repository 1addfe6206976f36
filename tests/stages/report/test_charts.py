"""Charts as Vega-Lite, with their data inside."""

from __future__ import annotations

import html
import re

import altair as alt
import pandas as pd
import pytest

from spillover.stages.report.charts import slug, specification, svg


def test_a_chart_of_many_rows_is_drawn():
    rows = pd.DataFrame({"x": range(6_000)})
    (data,) = specification(alt.Chart(rows).mark_point().encode(x="x:Q"))["datasets"].values()
    assert len(data) == 6_000


def test_data_by_column_are_the_rows_turned_over():
    rows = pd.DataFrame({"name": ["a", "b"], "value": [0.123456789, None], "flag": [True, False]})
    chart = alt.Chart(rows).mark_point().encode(x="value:Q")
    (by_row,) = specification(chart)["datasets"].values()
    (by_column,) = specification(chart, by_column=True)["datasets"].values()
    assert by_column == {"name": ["a", "b"], "value": [0.123457, None], "flag": [True, False]}
    assert by_row == [dict(zip(by_column, row, strict=True)) for row in zip(*by_column.values(), strict=True)]


def test_names_like_dates_numbers_and_quotes_are_drawn_as_they_are():
    names = ["seed 1", "12", 'say "no"', "true"]
    rows = pd.DataFrame({"name": names, "value": 1.0})
    drawn = svg(alt.Chart(rows).mark_point().encode(y="name:N", x="value:Q"))
    assert all(f">{html.escape(name, quote=False)}</text>" in drawn for name in names)


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "", "a\x00b", 'a"b', "a b", "中" * 500, "</script>"])
def test_a_figure_has_a_file_name_whatever_its_task_is_called(name):
    file_name = f"change-{slug(name)}.svg"
    assert re.fullmatch(r"change-[\w.-]+\.svg", file_name)
    assert len(file_name.encode()) < 255


def test_two_names_have_two_file_names():
    names = ["a b", "a-b", "a/b", "a.b", "", ".", "中" * 60, "中" * 61]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("sentiment") == "sentiment"
