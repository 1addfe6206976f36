"""What is downloaded holds the numbers, and the Python that is copied gives them again."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.explore import session as sessions
from spillover.explore.asked_question import Question
from spillover.explore.exports import csv_text, json_text, png_bytes, python_of
from spillover.explore.results import View
from spillover.explore.run_items import open_run_items
from spillover.explore.session import open_session, question_of
from tests.explore.test_results import made_answer, made_flips, made_languages, made_lens, made_view

VIEWS = {
    "ask": (made_answer(), made_answer("tuned")),
    "layers": (made_lens(),),
    "languages": (made_languages(),),
    "run": (made_flips(),),
}


@pytest.mark.parametrize("tab", VIEWS)
def test_csv_and_json_have_every_row(tab):
    view = made_view(tab, VIEWS[tab])
    rows = list(csv.DictReader(io.StringIO(csv_text(view))))
    found = json.loads(json_text(view))
    assert len(rows) == len(found["rows"]) == len(view.rows())
    assert found["question"]["texts"] == ["good"] if tab != "run" else found["options"] == {"run": "runs/mine"}
    assert len(found["results"]) == len(VIEWS[tab])


def test_a_spreadsheet_computes_no_text():
    rows = csv_text(made_view("ask", (made_answer(words=("=1+1", "@a")),))).splitlines()
    assert "'=1+1" in rows[1]
    assert "'@a" in rows[2]
    assert ",-1.0," in rows[1]


@pytest.mark.parametrize("tab", VIEWS)
def test_a_png_is_a_picture(tab):
    assert png_bytes(made_view(tab, VIEWS[tab])).startswith(b"\x89PNG")


@pytest.mark.parametrize("tab", ["ask", "layers", "languages", "pasted"])
def test_the_copied_python_gives_the_same_numbers(tab, session, monkeypatch, capsys):
    session = replace(session, config=EvaluateConfig(chat="off"))
    monkeypatch.setattr(sessions, "open_session", lambda *names, **options: session)
    example = session.examples("sentiment", ["sw"])["sw"][0]
    question = question_of(Question("sentiment", "sw", (), "native"), example)
    pasted = "en: a good {book} \"'\\\nde: ein gutes Buch" if tab == "pasted" else ""
    if tab == "ask":
        view = View("ask", question, tuple(session.answers(question)), {})
    elif tab == "layers":
        view = View("layers", question, tuple(session.lens(question, places=3)), {"places": 3})
    else:
        texts = sessions.pasted_translations(question, pasted) if pasted else session.in_languages(question)
        texts = {code: texts[code] for code in ("sw", "en")} if not pasted else texts
        monkeypatch.setattr(type(session), "in_languages", lambda self, asked: texts)
        *_, found = session.languages(question, texts)
        view = View("languages", question, (found,), {"translations": pasted})
    code = python_of(view, session)
    assert "chat='off'" in code
    exec(compile(code, "copied.py", "exec"), {})
    printed = [row for line in capsys.readouterr().out.splitlines() for row in eval(line, {"nan": float("nan")})]
    assert len(printed) == len(view.rows())
    for one, other in zip(printed, view.rows(), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if isinstance(value, float):
                np.testing.assert_allclose(value, other[name], rtol=1e-3, atol=1e-6)
            else:
                assert value == other[name]


def test_the_copied_python_of_a_run_gives_the_same_items(workplace, session, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    opened = open_session("model", adapter="adapter", dtype="float32")
    found = open_run_items("run", opened)
    code, change = found.items[0].language, found.items[0].change
    view = View("run", None, (found.flips(code, change),), {"run": "run", "of": code, "change": change})
    assert view.rows()
    exec(compile(python_of(view, opened), "copied.py", "exec"), {})
    assert eval(capsys.readouterr().out) == view.rows()
