"""The numbers are those of `evaluate` and `probe` on the same text, and what is kept between questions changes none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.core.files import read_table
from spillover.core.runs import open_run
from spillover.explore.asked_question import OWN_PROMPT, OWN_WORDS, Question
from spillover.explore.session import open_session, pasted_translations, question_of, session_of
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.lens import top_tokens
from spillover.stages.probe.state_store import open_states
from spillover.stats.calibration import calibrated, normalised
from spillover.stats.similarity import cosines
from spillover.tasks.benchmark import open_benchmark
from tests.builders import small_data
from tests.stages.probe.builders import run_probe

EXACT = 1e-4


def first_answer(session, question):
    return next(session.answers(question))


@pytest.mark.parametrize("task", ["sentiment", "nli", "copa", "story", "blimp"])
def test_answers_are_those_of_evaluate(session, task):
    benchmark = open_benchmark(task, languages="sw", limit=2)
    scores = evaluate(session.sides[0].model, benchmark).scores["sw"]
    values = (
        np.exp(normalised(calibrated(scores, "contextual", scores.length))) if task in ("sentiment", "nli") else None
    )
    for i, example in enumerate(benchmark.examples()["sw"]):
        answer = first_answer(session, question_of(Question(task, "sw", ()), example))
        n = len(answer.labels)
        np.testing.assert_allclose(answer.logprobs, scores.logprobs[i, :n], atol=EXACT)
        assert answer.tokens == scores.tokens[i]
        assert answer.label_tokens == tuple(scores.label_tokens[i, :n])
        assert answer.probabilities.sum() == pytest.approx(1)
        if values is not None:
            np.testing.assert_allclose(answer.calibrated, values[i], atol=EXACT)
        else:
            assert np.isnan(answer.calibrated).all()
            assert answer.reason


def test_both_models_answer_the_base_first(session):
    base, tuned = session.answers(Question("sentiment", "en", ("good",)))
    assert (base.model, tuned.model) == ("base", "tuned")
    assert not np.allclose(base.logprobs, tuned.logprobs)


def test_what_is_kept_changes_no_answer(session):
    questions = [Question("sentiment", code, (text,)) for code in ("sw", "th", "en") for text in ("good", "bad")]
    fresh = [first_answer(session_of({"base": session.sides[0].model}), question) for question in questions]
    for _ in range(2):
        for question, expected in zip(questions, fresh, strict=True):
            np.testing.assert_allclose(first_answer(session, question).logprobs, expected.logprobs, atol=EXACT)


def test_the_shots_of_a_language_are_computed_once(session, monkeypatch):
    engine = session_of({"base": session.sides[0].model}).sides[0].engine
    opened = replace(session, sides=(replace(session.sides[0], engine=engine),))
    computed = []
    compute = engine._compute_prefix
    monkeypatch.setattr(
        engine, "_compute_prefix", lambda plan, *rest: computed.append(len(plan.prefix)) or compute(plan, *rest)
    )
    questions = [Question("sentiment", code, (text,)) for code in ("sw", "th") for text in ("good", "very bad")]
    for question in questions:
        first_answer(opened, question)
    first = list(computed)
    for question in questions:
        first_answer(opened, question)
    assert computed == first


def test_many_visitors_at_once_get_their_own_answers(session):
    questions = [Question("sentiment", code, (f"text {i}",)) for i in range(5) for code in ("sw", "en")]
    expected = [first_answer(session, question).logprobs for question in questions]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda question: first_answer(session, question).logprobs, questions))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=EXACT)


def test_the_lens_has_the_words_of_probe_lens(session):
    question = Question("sentiment", "sw", ("Kitabu kizuri.",))
    for side, view in zip(session.sides, session.lens(question, places=4, top=3), strict=True):
        expected = top_tokens(side.model, session.asked(question).prompt.text, places=4, top=3)
        assert list(view.positions) == expected["tokens"]
        for layer, cells in zip(expected["layers"], view.cells, strict=True):
            for place, cell in zip(layer["places"], cells, strict=True):
                assert [token.text for token in cell] == [token["token"] for token in place]
                np.testing.assert_allclose(
                    [token.probability for token in cell], [token["probability"] for token in place], rtol=1e-3
                )


def test_the_curves_are_those_of_probe(session, tmp_path):
    data = small_data(tmp_path / "data", ("en", "de"))
    model = session.sides[0].model
    config = EvaluateConfig(labels="native")
    folder = run_probe(open_run(tmp_path / "run"), model, str(data), languages="de", evaluate=config)
    opened = session_of({"base": model}, data=str(data))
    ids = open_states(folder / "states").example_ids
    questions = [
        question_of(Question("sentiment", "de", (), "native"), example)
        for example in opened.examples("sentiment", ["de"])["de"]
        if example.id in ids
    ]
    views = {question.item: next(opened.lens(question, places=1)) for question in questions}
    items = read_table(folder / "lens_items.parquet")
    for row in items.to_dict("records"):
        view = views[row["example_id"]]
        assert (view.answer, view.decided) == (row["answer"], row["leads_at"])
    layers = read_table(folder / "lens_layers.parquet")
    np.testing.assert_allclose(np.mean([view.entropy for view in views.values()], axis=0), layers["entropy"], atol=1e-3)
    lens = read_table(folder / "lens.parquet")
    answers = {row["example_id"]: row["answer"] == row["gold"] for row in items.to_dict("records")}
    if all(answers.values()):
        for k, name in enumerate(curve.words for curve in next(iter(views.values())).curves):
            whole = np.mean([view.curves[k].whole for view in views.values()], axis=0)
            np.testing.assert_allclose(whole, lens[lens["words"] == name]["answer_sequence"], rtol=1e-3)


def test_the_last_layer_of_the_curves_is_the_answer(session):
    for question in (
        Question("sentiment", "sw", ("Kitabu kizuri.",), "native"),
        Question("sentiment", "hi", ("अच्छा",), OWN_WORDS, ("ha", "na")),
        Question(OWN_PROMPT, "de", ("Gut oder schlecht:",), words=("gut", "schlecht")),
    ):
        answer, view = first_answer(session, question), next(session.lens(question, places=2))
        assert view.answer == answer.labels[int(answer.logprobs.argmax())]
        word = answer.words[answer.labels.index(view.answer)]
        assert any(
            curve.word.strip() == word and np.isclose(np.log(curve.whole[-1]), answer.logprobs.max(), atol=1e-3)
            for curve in view.curves
        )


def test_a_task_without_label_words_has_a_heatmap_and_a_reason(session):
    example = session.examples("copa", ["sw"])["sw"][0]
    view = next(session.lens(question_of(Question("copa", "sw", ()), example), places=2))
    assert len(view.cells) == 3
    assert not view.curves
    assert "label words" in view.reason


def test_languages_have_the_answers_of_ask_and_the_cosines_of_the_states(session, tmp_path):
    data = small_data(tmp_path / "data", ("en", "de", "es"), items=6)
    model = session.sides[0].model
    opened = session_of({"base": model}, data=str(data))
    question = question_of(Question("sentiment", "de", ()), opened.examples("sentiment", ["de"])["de"][2])
    texts = opened.in_languages(question)
    assert set(texts) == {"en", "de", "es"}
    *_, view = opened.languages(question, texts)
    assert [row.language for row in view.rows_by_language] == ["en", "de", "es"]
    for row in view.rows_by_language:
        assert row.answer is not None
        np.testing.assert_allclose(row.answer.logprobs, first_answer(opened, texts[row.language]).logprobs, atol=EXACT)
    folder = run_probe(open_run(tmp_path / "run"), model, str(data))
    states = open_states(folder / "states")
    if question.item in states.example_ids:
        i = states.example_ids.index(question.item)
        for layer in range(model.layers + 1):
            mean = states.read("mean", layer)
            expected = cosines(mean["de"][i][None], mean["en"][i][None])[0, 0]
            assert view.rows_by_language[1].similarity[layer] == pytest.approx(expected, abs=5e-3)
    assert view.rows_by_language[0].similarity == pytest.approx(1.0)
    assert view.split("base") in range(model.layers + 1)


def test_a_language_that_cannot_be_asked_says_why_and_the_others_go_on(session):
    question = Question("sentiment", "sw", ("Kitabu kizuri.",))
    texts = pasted_translations(question, "en: A good book.\nyo: Iwe to dara.\nde:  ")
    *_, view = session.languages(question, texts)
    rows = {row.language: row for row in view.of("base")}
    assert set(rows) == {"sw", "en", "yo", "de"}
    assert rows["sw"].answer is not None
    assert "no wording" in rows["yo"].reason
    assert "empty" in rows["de"].reason


def test_without_a_counterpart_similarity_is_undefined(session):
    question = Question("sentiment", "sw", ("Kitabu kizuri.",))
    *_, view = session.languages(question, {"sw": question})
    assert np.isnan(view.rows_by_language[0].similarity).all()
    assert "counterpart" in view.rows_by_language[0].reason
    assert view.split("base") is None


@pytest.mark.parametrize("text", ["A good book.", "en", "en: a"])
def test_translations_that_are_none_name_their_line(text):
    with pytest.raises(DataError, match="translations:2"):
        pasted_translations(Question("nli", "sw", ("a", "b")), f"de: x | y\n{text}")


@pytest.mark.parametrize("task", [OWN_PROMPT, "blimp"])
def test_what_has_no_counterparts_is_refused(session, task):
    question = Question(task, "en", ("a",), words=("b", "c"))
    with pytest.raises(ConfigError, match="no counterparts"):
        next(session.languages(question, {"en": question}))


def test_a_text_beyond_the_context_says_so(session):
    with pytest.raises(DataError, match="context is 4096"):
        first_answer(session, Question("sentiment", "en", ("good " * 5000,)))
    with pytest.raises(ConfigError, match="not defined for pairs"):
        next(session.lens(Question("blimp", "en", (), choices=("a b", "b a"))))


def test_a_session_is_opened_with_its_adapter(workplace):
    folder = str(workplace / "model")
    opened = open_session(folder, adapter=str(workplace / "adapter"), dtype="float32")
    assert [side.name for side in opened.sides] == ["base", "tuned"]
    assert opened.opening == {"name": folder, "adapter": str(workplace / "adapter"), "dtype": "float32"}
    with pytest.raises(ConfigError, match="exclude each other"):
        open_session(folder, adapter="a", steer="b")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_session(str(workplace / "nothing"))
