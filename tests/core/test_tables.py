"""Tables as CSV: text that a spreadsheet would compute is text, and numbers are numbers."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from spillover.core.tables import csv_text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_text_that_would_be_a_formula_has_an_apostrophe(start):
    evil = f"{start}cmd|' /C calc'!A0"
    table = pd.DataFrame({evil: [evil, 'plain, "quoted"'], "number": [-0.1, 2.0]})
    rows = list(csv.reader(io.StringIO(csv_text(table), newline="")))
    assert rows == [[f"'{evil}", "number"], [f"'{evil}", "-0.1"], ['plain, "quoted"', "2.0"]]


def test_numbers_are_written_in_full_and_what_is_undefined_is_empty():
    numbers = pd.DataFrame({"n": [1, -2], "share": [-1 / 3, float("nan")], "flag": [True, False], "any": [-1.5, "-x"]})
    assert (
        csv_text(numbers).replace("\r\n", "\n") == "n,share,flag,any\n1,-0.3333333333333333,True,-1.5\n-2,,False,'-x\n"
    )
