from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from spillover.stages.audit.recurring_runs import RUN, WIDE_RUN, recurring_runs, run_length, share_a_run

TEXTS = st.lists(st.text(alphabet="ab 中\U0001f600", max_size=12), max_size=8)


@given(TEXTS, st.integers(1, 4), st.integers(1, 3))
def test_runs_are_those_that_counting_finds(texts, length, least):
    holders = defaultdict(set)
    for number, text in enumerate(texts):
        for start in range(len(text) - length + 1):
            holders[text[start : start + length]].add(number)
    expected = {run: numbers for run, numbers in holders.items() if len(numbers) >= least}
    runs = recurring_runs(texts, length, least)
    found = {
        texts[numbers[0]][start : start + length]: set(numbers.tolist())
        for numbers, start in zip(runs.texts, runs.starts, strict=True)
    }
    assert found == expected
    assert all(stretch >= 1 for stretch in runs.stretches)


def test_a_stretch_is_as_long_as_the_runs_recur_alike():
    runs = recurring_runs(["xabcdefy", "zabcdefw", "vabcdefu", "abc"], 2, 3)
    by_start = dict(zip(runs.starts, runs.stretches, strict=True))
    assert by_start[3] == 3, "cd, de, ef; ab and bc stand in a fourth text"


def test_runs_are_shorter_where_a_character_is_a_word():
    assert run_length(["今天天气很好"]) == WIDE_RUN
    assert run_length(["the weather is fine", "วันนี้อากาศดี"]) == RUN


def test_texts_share_a_run_that_others_do_not_have():
    assert share_a_run(["Question: why", "Question: how"], ["that is so"], phrase="Frage: ", share=0.8)
    assert not share_a_run(["Question: why", "Question: how"], ["Question: so"], phrase="Frage: ", share=0.8)
    assert not share_a_run(["one thing", "another"], ["more"], phrase="Frage: ", share=0.8)
