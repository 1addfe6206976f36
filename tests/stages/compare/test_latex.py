"""LaTeX that LaTeX can read."""

from __future__ import annotations

from dataclasses import replace

from spillover.stages.compare.latex import to_latex


def test_latex_escapes_and_is_whole(hard_tuning):
    comparison = replace(hard_tuning, groups=hard_tuning.groups.replace({"group": {"all": "a_b & 5 %"}}))
    text = to_latex(comparison)
    assert r"a\_b \& 5 \% (1) & 500 & " in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {7}
    assert "nan" not in text
    assert text.count(r"\begin") == text.count(r"\end")
