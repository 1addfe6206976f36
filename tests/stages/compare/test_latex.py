"""LaTeX that LaTeX can read."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from spillover.stages.compare.latex import to_latex


def test_latex_escapes_and_is_whole(hard_tuning):
    comparison = replace(hard_tuning, groups=hard_tuning.groups.replace({"group": {"all": "a_b & 5 %"}}))
    text = to_latex(comparison)
    assert r"a\_b \& 5 \% (1) & 500 & " in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {7}
    assert "nan" not in text
    assert text.count(r"\begin") == text.count(r"\end")


@pytest.mark.parametrize(
    "evil",
    ["\\input{/etc/passwd}", "x\n\\input{x}", "x\r\\input{x}", "50 % & _a_ {b} ^c ~d #e $f$", "\u2028\\input{x}"],
)
def test_hostile_names_are_only_text(hard_tuning, evil):
    groups = hard_tuning.groups.replace({"group": {"all": evil}})
    text = to_latex(replace(hard_tuning, groups=groups, task=evil, label_set=evil))
    commands = re.findall(r"\\[a-zA-Z]+", re.sub(r"(?<!\\)%.*", "", text))
    known = {r"\begin", r"\end", r"\toprule", r"\midrule", r"\bottomrule", r"\rightarrow"}
    assert set(commands) - known <= {r"\textbackslash", r"\textasciicircum", r"\textasciitilde"}
    assert len(text.splitlines()) == len(to_latex(hard_tuning).splitlines())
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {7}
    assert not any(re.search(r"(?<!\\)[%#_]", row) for row in rows)
