"""`evaluate.wording`: a language without wording is asked in another's, in every stage, and every stage says so."""

from __future__ import annotations

import json
import logging
import shutil

import pytest

from spillover.core.config import BuildConfig, EvaluateConfig, ProbeConfig, TrainConfig
from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.runs import open_run
from spillover.stages.audit.stage import audit
from spillover.stages.build.stage import build_pairs, build_run
from spillover.stages.compare import compare, compare_run
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.lens_targets import target_sets
from spillover.stages.probe.stage import probe
from spillover.stages.report import report
from spillover.stages.train.in_training import in_training_evaluation
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task, with_borrowed_wording
from tests.builders import KIND_DATA, kind_task, make_model, small_data

CODES = ("en", "de", "yo", "cy")
LENT = "en (words, labels, shots)"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sentiment items in two languages with wording, and two without."""
    return str(small_data(tmp_path_factory.mktemp("borrowed"), CODES))


@pytest.fixture(scope="module")
def own_task(tmp_path_factory):
    """A user's own folder with answers of the items', in German and English, and Spanish shots alone."""
    folder = shutil.copytree(kind_task("reading"), tmp_path_factory.mktemp("own") / "reading")
    text = (folder / "es.yaml").read_text(encoding="utf-8")
    shots = text[text.index("shots:") :]
    (folder / "es.yaml").write_text(f"language: es\nprovenance: written\npartial: true\n{shots}", encoding="utf-8")
    return folder


def opened(data, **options):
    return open_benchmark("sentiment", data=data, **options)


def test_without_the_option_one_line_names_it(data, caplog):
    with caplog.at_level(logging.INFO):
        assert opened(data).languages == ("en", "de")
    assert caplog.messages == ["sentiment: left out, as the task has no wording for them: cy, yo"]
    for languages in ("en,yo", "yo"):
        with pytest.raises(ConfigError, match="no wording for yo") as error:
            opened(data, languages=languages)
        assert "--wording en (evaluate.wording)" in error.value.hint


def test_where_no_language_has_wording_the_option_is_named_too(tmp_path):
    with pytest.raises(ConfigError, match="the task has no wording for cy, yo") as error:
        open_benchmark("sentiment", data=str(small_data(tmp_path, ("yo", "cy"))))
    assert "--wording en" in error.value.hint


def test_the_lent_wording_stands_around_the_own_text(data, caplog):
    with caplog.at_level(logging.INFO):
        benchmark = opened(data, languages="en,de,yo", wording="en")
    assert caplog.messages == [f"sentiment: wording of {LENT} around the text of yo"]
    assert benchmark.borrowed_wording() == {"yo": LENT}
    prompts = benchmark.prompts("native", "own")
    english, yoruba, german = (prompts[code][0] for code in ("en", "yo", "de"))
    assert yoruba.body == english.body.replace("in en", "in yo")
    assert (yoruba.prefix, yoruba.answers) == (english.prefix, english.answers)
    assert german == opened(data, languages="de").prompts("native", "own")["de"][0]


def test_another_language_may_lend_and_one_without_wording_may_not(data):
    benchmark = opened(data, languages="yo", wording="de")
    assert benchmark.prompts("native", "own")["yo"][0].answers == tuple(
        load_task("sentiment").wordings["de"].labels.values()
    )
    with pytest.raises(ConfigError, match=r"evaluate.wording: task sentiment has no wording in 'yo' to lend"):
        opened(data, wording="yo")
    with pytest.raises(ConfigError, match=r"evaluate.shots: yo: sentiment has no shots in yo"):
        benchmark.prompts("english", "yo")


def test_a_partial_wording_keeps_its_own_parts(own_task):
    benchmark = open_benchmark(str(own_task), data=KIND_DATA, wording="en")
    assert benchmark.borrowed_wording() == {"es": "en (words)"}
    (prompt, *_) = benchmark.prompts("english", "own")["es"]
    assert "La panadería abre" in prompt.prefix
    assert "Question: ¿Cuándo abre" in prompt.prefix
    assert "Answer: a las seis" in prompt.prefix
    assert benchmark.prompts("english", "es")["de"]
    with pytest.raises(ConfigError, match="no wording for es"):
        open_benchmark(str(own_task), data=KIND_DATA, languages="es")


def test_own_label_words_stay_where_the_rest_is_borrowed(tmp_path, data):
    folder = tmp_path / "mood"
    folder.mkdir()
    (folder / "task.yaml").write_text('name: sentiment\nversion: 1\nfields: [review]\nlabels: [positive, negative]\ntemplate: "{a} {review} {b}"\nlabel_sets: {english: en}\n', encoding="utf-8")  # fmt: skip
    (folder / "en.yaml").write_text("language: en\nprovenance: written\nwords: {a: Review, b: Is}\nlabels: {positive: good, negative: bad}\n", encoding="utf-8")  # fmt: skip
    (folder / "yo.yaml").write_text("language: yo\nprovenance: written\npartial: true\nlabels: {positive: dara, negative: buru}\n", encoding="utf-8")  # fmt: skip
    benchmark = open_benchmark(str(folder), data=data, languages="yo", wording="en")
    assert benchmark.borrowed_wording() == {"yo": "en (words)"}
    (prompt, *_) = benchmark.prompts("native", "own")["yo"]
    assert (prompt.body, prompt.answers) == ("Review review 0 in yo Is", ("dara", "buru"))
    assert "native" in target_sets(benchmark.task, "yo", "english")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language: es\nprovenance: written\npartial: true\nwords: {question_word: Pregunta}\n", "es.yaml: words: exp"),
        ("language: es\nprovenance: written\nwords: {question_word: P, answer_word: R}\n", "es.yaml: shots: expected"),
    ],
)
def test_a_part_is_whole_or_missing_and_missing_where_the_file_says_so(tmp_path, text, message):
    folder = shutil.copytree(kind_task("reading"), tmp_path / "reading")
    (folder / "es.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_task(str(folder))


def test_partial_wordings_alone_are_no_wording(tmp_path):
    folder = shutil.copytree(kind_task("reading"), tmp_path / "reading")
    for path in folder.glob("??.yaml"):
        path.write_text(path.read_text(encoding="utf-8") + "partial: true\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no <language>.yaml beside task.yaml that is not partial"):
        load_task(str(folder))


def test_pairs_need_none():
    task = load_task(kind_task("agreement"))
    assert with_borrowed_wording(task, "en", ["yo"], where="evaluate.wording") is task


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Both sides scored with English lent, in a run folder."""
    folder = tmp_path_factory.mktemp("run")
    for name, seed in (("base", 0), ("tuned", 1)):
        evaluate(make_model(seed=seed), opened(data, wording="en"), out=folder, name=name)
    return open_run(folder)


def test_tables_manifest_comparison_and_page_say_so(run, call_evaluate):
    scores = read_evaluation(run.path / "evaluate" / "base" / "sentiment").scores
    assert {code: own.borrowed_wording for code, own in scores.items()} == {"en": "", "de": "", "cy": LENT, "yo": LENT}
    stage = run.manifest()["stages"]["evaluate/base/sentiment"]
    assert stage["settings"]["borrowed_wording"] == stage["facts"]["borrowed_wording"] == {"cy": LENT, "yo": LENT}
    compare_run(run, seen=["de"])
    said = f"In cy, yo the items' own text stands in the wording of another language: {LENT}."
    verdict = json.loads((run.path / "compare" / "verdict.json").read_text(encoding="utf-8"))
    assert said in json.dumps(verdict, ensure_ascii=False)
    page = report(run.path).read_text(encoding="utf-8").replace("&#39;", "'")
    assert page.count(said) >= 3  # once for the comparison, and beside each side's table
    assert f"cy yo: the items' own text in the wording of {LENT}" in call_evaluate(run)


@pytest.fixture
def call_evaluate(capsys):
    from spillover.cli import main

    def run(opened_run):
        with pytest.raises(SystemExit):
            main(["evaluate", "--scores", str(opened_run.path / "evaluate" / "base" / "sentiment")])
        return capsys.readouterr().out

    return run


def test_the_key_changes_with_what_is_borrowed_and_only_then(data, tiny):
    keys = {
        wording: evaluate(tiny, opened(data, languages="de", wording=wording)).key for wording in (None, "en", "de")
    }
    assert len(set(keys.values())) == 1
    borrowed = {evaluate(tiny, opened(data, languages="yo", wording=wording)).key for wording in ("en", "de")}
    assert len(borrowed) == 2


def test_sides_that_borrow_from_two_languages_differ(data, tiny):
    sides = [evaluate(tiny, opened(data, languages="de,yo", wording=wording)) for wording in ("en", "de")]
    text = " ".join(sentence.text for sentence in compare(*sides).verdict)
    assert f"the wording around the text of yo ({LENT} → de (words, labels, shots))" in text


def test_a_benchmark_opened_without_it_is_refused(data, tiny):
    with pytest.raises(ConfigError, match=r"evaluate.wording: en: the benchmark was opened with None"):
        evaluate(tiny, opened(data), config=EvaluateConfig(wording="en"))


def test_questions_of_such_a_language_become_pairs(data, tmp_path):
    benchmark = opened(data, wording="en", required_split="train")
    pairs = build_pairs(benchmark, languages=["yo"], config=BuildConfig(overlap="drop"))
    assert pairs
    english = load_task("sentiment").wordings["en"].words
    assert all(word in pair.prompt for pair in pairs for word in english.values())
    open_to_build = open_run(tmp_path / "run")
    build_run(open_to_build, benchmark, BuildConfig(sources=["yo"]))
    assert open_to_build.manifest()["stages"]["build"]["facts"]["borrowed_wording"] == {"yo": LENT}
    with pytest.raises(ConfigError, match="no wording for yo"):
        build_pairs(opened(data), languages=["yo"])


def test_in_training_evaluation_asks_in_it(data):
    benchmark = opened(data, wording="en")
    config = TrainConfig(eval_languages=["en", "yo"], guard=None, eval_items=2, eval_reference_items=2)
    evaluation = in_training_evaluation(benchmark, seen=["de"], config=config)
    assert evaluation.settings["borrowed_wording"] == {"yo": LENT}
    assert evaluation.prompts["yo"][0].prefix == evaluation.prompts["en"][0].prefix


def test_the_probe_asks_as_the_evaluation_did(run, data, tiny):
    config = ProbeConfig(items=4, random_weights=False, layers=[0, 2])
    with pytest.raises(RunError, match="evaluate/base borrowed wording for"):
        probe(run, tiny, opened(data), name="base", config=config)
    probe(run, tiny, opened(data, wording="en"), name="base", config=config)
    settings = run.manifest()["stages"]["probe/base"]["settings"]
    assert settings["borrowed_wording"] == {"cy": LENT, "yo": LENT}
    task = opened(data, wording="en").task
    assert "native" not in target_sets(task, "yo", "english")[0]


def test_the_audit_names_what_is_borrowed_and_does_not_blame_it(data):
    findings = [row for row in audit(opened(data, wording="en")) if row.language == "yo"]
    (named,) = [row for row in findings if row.check == "missing-wording"]
    assert (named.severity, named.message) == ("note", f"its own text stands in the wording of {LENT}")
    assert not {row.check for row in findings} & {"untranslated-shot", "repeated-shot", "equal-label-words"}
