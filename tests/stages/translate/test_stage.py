from __future__ import annotations

import json
from dataclasses import replace

import pytest

from spillover.core.config import BuildConfig
from spillover.core.errors import ConfigError, DataError, ModelError, RunError
from spillover.core.files import read_jsonl
from spillover.models.translators import IncompleteTranslation
from spillover.stages.build import build_pairs
from spillover.stages.translate import stage as translate_stage
from spillover.stages.translate import translate_questions
from spillover.stages.translate.stage import open_translation, texts_of, translated_row
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import read_examples
from spillover.tasks.wording import load_task
from tests.builders import write_rows
from tests.stages.translate.builders import PhraseBook, config, demo_rows, questions


def translated(tmp_path, book=None, *, to="de,es", out="mine", n=12, **values):
    return translate_questions(
        questions(tmp_path, n), to, out=tmp_path / out, config=config(**values), translator=book or PhraseBook()
    )


def written(tmp_path, code, out="mine"):
    return {row["id"]: row["review"] for _, row in read_jsonl(tmp_path / out / "sentiment" / "train" / f"{code}.jsonl")}


def all_bytes(folder):
    """Of every file that must not depend on when it was made."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if path.name not in ("run.json", "log.jsonl", "record.json")
    }


def test_the_result_is_what_build_reads(tmp_path):
    result = translated(tmp_path)
    assert written(tmp_path, "de") == {row["id"]: row["review"] for row in demo_rows("de")}
    assert list(written(tmp_path, "en")) == list(written(tmp_path, "es"))
    assert {code: counts.written for code, counts in result.languages.items()} == {"de": 12, "es": 12}
    benchmark = open_benchmark("sentiment", data=str(tmp_path / "mine"), required_split="train")
    pairs = build_pairs(benchmark, languages=["de", "es"], config=BuildConfig())
    assert len(pairs) == 24


def test_a_record_says_where_the_rows_came_from(tmp_path):
    result = translated(tmp_path, to="de")
    record = json.loads(result.record.read_text(encoding="utf-8"))
    german = record["languages"]["de"]
    assert (german["translator"], german["fingerprint"], german["prompt"]) == ("phrase book", "book-1", "en-de: {text}")
    assert (record["source"], record["provenance"], german["rows"]) == ("en", "machine-translated", 12)
    assert german["started"].startswith("20")
    assert result.record.with_name("findings.json").is_file()


def test_a_bad_row_is_asked_once_more_and_then_left_out_of_all_languages_by_name(tmp_path):
    bad, mended = (demo_rows("en")[i]["review"] for i in (1, 5))

    def spoil(text, translation, retry):
        return text if text == bad or (text == mended and not retry) else translation

    book = PhraseBook(spoil)
    result = translated(tmp_path, book, to="de,es")
    assert next(asked for _, asked, retry in book.asked if retry) == [bad]
    counts = result.languages["de"]
    assert (counts.retried, counts.written) == (2, 11)
    assert counts.left_out == {demo_rows("en")[1]["id"]: "review: untranslated: the English text"}
    assert dict(counts.reasons) == {"untranslated": 1}
    for code in ("en", "de", "es"):
        assert demo_rows("en")[1]["id"] not in written(tmp_path, code)
        assert demo_rows("en")[5]["id"] in written(tmp_path, code)


def test_pairwise_leaves_a_row_out_of_one_language(tmp_path):
    bad, german = demo_rows("en")[1], demo_rows("de")[1]["review"]
    book = PhraseBook(lambda text, translation, retry: "" if translation == german else translation)
    result = translated(tmp_path, book, missing_items="pairwise")
    assert result.languages["de"].left_out == {bad["id"]: "review: empty: nothing came back"}
    assert bad["id"] not in written(tmp_path, "de")
    assert bad["id"] in written(tmp_path, "en")
    assert bad["id"] in written(tmp_path, "es")


def test_an_interrupted_translation_resumes_with_the_same_bytes(tmp_path):
    bad = demo_rows("en")[6]["review"]

    def spoil(text, translation, retry):
        return "" if text == bad else translation

    translated(tmp_path, PhraseBook(spoil), out="whole")
    for stops_after in (1, 2, 2):
        with pytest.raises(KeyboardInterrupt):
            translated(tmp_path, PhraseBook(spoil, stops_after=stops_after), out="mine")
    book = PhraseBook(spoil)
    translated(tmp_path, book, out="mine")
    assert 0 < len(book.asked) < 6, "what was translated is not asked for again"
    assert all_bytes(tmp_path / "mine") == all_bytes(tmp_path / "whole")


def test_half_a_line_of_a_killed_process_is_translated_again(tmp_path):
    translated(tmp_path, out="whole")
    with pytest.raises(KeyboardInterrupt):
        translated(tmp_path, PhraseBook(stops_after=2))
    with (tmp_path / "mine" / "translate" / "sentiment" / "de.jsonl").open("ab") as file:
        file.write('[{"id": "ü'.encode()[:-1])
    translated(tmp_path)
    assert all_bytes(tmp_path / "mine") == all_bytes(tmp_path / "whole")


def test_what_is_finished_is_not_asked_again(tmp_path):
    translated(tmp_path, to="de")
    book = PhraseBook()
    translated(tmp_path, book, to="de")
    assert book.asked == []


def test_languages_of_several_translators_stay_parallel(tmp_path):
    bad = demo_rows("en")[2]
    translated(tmp_path, PhraseBook(lambda text, translation, _: "" if text == bad["review"] else translation), to="de")
    result = translated(tmp_path, PhraseBook(fingerprint="book-2"), to="es")
    assert list(result.languages) == ["de", "es"]
    assert bad["id"] not in {**written(tmp_path, "en"), **written(tmp_path, "es")}
    record = json.loads(result.record.read_text(encoding="utf-8"))
    assert [of["fingerprint"] for of in record["languages"].values()] == ["book-1", "book-2"]


def test_other_settings_are_refused_with_what_differs(tmp_path):
    translated(tmp_path, to="de")
    with pytest.raises(RunError, match="translator: book-1 → book-2"):
        translated(tmp_path, PhraseBook(fingerprint="book-2"), to="de")
    with pytest.raises(RunError, match=r"checks\.shortest"):
        translated(tmp_path, to="de", shortest=0.5)
    with pytest.raises(RunError, match="other questions"):
        translated(tmp_path, to="de", n=11)


def test_a_translator_that_failed_at_once_may_be_replaced(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        translated(tmp_path, PhraseBook(stops_after=0), to="de")
    translated(tmp_path, PhraseBook(fingerprint="book-2"), to="de")


def test_batch_size_may_change_in_between(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        translated(tmp_path, PhraseBook(stops_after=1), to="de")
    translated(tmp_path, to="de", batch=3)
    assert len(written(tmp_path, "de")) == 12


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text, translation, retry: "", "12 x review: empty: nothing came back"),
        (lambda text, translation, retry: text, "12 x review: untranslated"),
        (lambda text, translation, retry: "Das ist ein langer deutscher Satz über etwas.", "repeated: also the"),
    ],
)
def test_a_translator_that_translates_nothing_is_stopped_in_one_line(tmp_path, spoil, reason):
    with pytest.raises(ModelError, match="not one of 12 rows in succession was translated into German") as error:
        translated(tmp_path, PhraseBook(spoil), to="de", batch=12)
    assert reason in error.value.message
    assert "\n" not in error.value.message
    assert error.value.hint


def test_after_so_many_bad_rows_the_translator_is_to_blame_and_what_was_translated_stays(tmp_path):
    good = {row["review"] for row in demo_rows("en")[:4]}
    book = PhraseBook(lambda text, translation, retry: translation if text in good else "")
    with pytest.raises(ModelError, match="not one of 4 rows"):
        translated(tmp_path, book, to="de", give_up=4)
    again = PhraseBook()
    translated(tmp_path, again, to="de", give_up=4)
    assert [len(asked) for _, asked, _ in again.asked] == [4, 4]


def test_another_number_of_translations_is_an_error(tmp_path):
    book = PhraseBook()
    whole = book.translate
    book.translate = lambda texts, *languages, **options: whole(texts, *languages, **options)[1:]
    with pytest.raises(ModelError, match="was given 4 texts and returned 3"):
        translated(tmp_path, book, to="de")


def test_what_a_translator_could_not_do_is_left_out_with_its_reason(tmp_path):
    book = PhraseBook()
    whole = book.translate

    def translate(texts, *languages, **options):
        translations = whole(texts, *languages, **options)
        if demo_rows("en")[3]["review"] in texts:
            number = list(texts).index(demo_rows("en")[3]["review"])
            raise IncompleteTranslation("book", texts, translations, {number: "1400 tokens"})
        return translations

    book.translate = translate
    result = translated(tmp_path, book, to="de")
    assert result.languages["de"].left_out == {demo_rows("en")[3]["id"]: "review: translator: 1400 tokens"}


def test_files_that_were_not_made_here_are_never_replaced(tmp_path):
    path = write_rows(tmp_path / "mine" / "sentiment" / "train" / "de.jsonl", demo_rows("de", 2))
    before = path.read_bytes()
    book = PhraseBook()
    with pytest.raises(RunError, match="not made by this translation") as error:
        translated(tmp_path, book)
    assert str(path) in error.value.message
    assert (path.read_bytes(), book.asked) == (before, [])


def test_files_that_were_changed_since_are_not_replaced(tmp_path):
    translated(tmp_path)
    path = tmp_path / "mine" / "sentiment" / "train" / "de.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(RunError, match="changed since"):
        translated(tmp_path)


def test_other_data_in_the_folder_stays(tmp_path):
    test_split = write_rows(tmp_path / "mine" / "sentiment" / "test" / "de.jsonl", demo_rows("de", 2))
    translated(tmp_path)
    assert test_split.is_file()


def test_the_cost_is_known_before_anything_is_asked(tmp_path):
    book = PhraseBook()
    opened = open_translation(
        questions(tmp_path, 3), out=tmp_path / "mine", config=config(targets=["de", "es"]), translator=book
    )
    plan = opened.plan()
    characters = sum(len(row["review"]) for row in demo_rows("en", 3))
    assert (plan.rows, plan.texts_left, plan.characters_left) == (3, 6, 2 * characters)
    assert plan.prompt_characters_left == 6 * len("en-de: {text}")
    assert plan.prompts == {"de": "en-de: {text}", "es": "en-es: {text}"}
    assert book.asked == []
    assert not (tmp_path / "mine").exists()


def test_after_the_first_batch_the_time_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    translated(tmp_path)
    said = [record.getMessage() for record in caplog.records if "for the other 20" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("4 rows in ")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"targets": []}, ConfigError, "no language to translate into"),
        ({"targets": ["en"]}, ConfigError, "'en' is the source too"),
        ({"targets": ["xx1"]}, ConfigError, "'xx1' is not a BCP-47 code"),
        ({"targets": ["de"], "task": "blimp"}, ConfigError, "pairs have no question"),
        ({"targets": ["de"], "task": "nli"}, DataError, "no premise"),
        ({"targets": ["de"]}, ConfigError, "translate.translator: none given"),
    ],
)
def test_what_cannot_be_translated_is_said_at_once(tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        open_translation(questions(tmp_path, 3), out=tmp_path / "mine", config=config(**values))
    assert not (tmp_path / "mine").exists()


def test_fields_choices_labels_and_clusters_of_a_row(tmp_path):
    task = load_task("reading")
    row = {
        "id": "r1",
        "passage": "A passage.",
        "question": "Why?",
        "choices": ["yes", "no", "both", "none"],
        "label": "1",
        "cluster": "c",
    }
    row |= {name: "x" for name in task.fields if name not in row}
    path = write_rows(tmp_path / "en.jsonl", [row])
    (example,) = read_examples(path, task, "en")
    texts = texts_of(task, example)
    german = translated_row(example, "de", {name: text.upper() for name, text in texts.items()})
    assert german == replace(
        example,
        language="de",
        fields={name: text.upper() for name, text in example.fields.items()},
        choices=tuple(text.upper() for text in example.choices),
    )


def test_a_full_disk_loses_the_batch_alone(tmp_path, monkeypatch):
    translated(tmp_path, out="whole")
    append, calls = translate_stage.append_batch, []

    def full(path, rows):
        calls.append(path)
        if len(calls) == 3:
            raise RunError(f"{path}: cannot be written (No space left on device)", hint="free disk space")
        append(path, rows)

    monkeypatch.setattr(translate_stage, "append_batch", full)
    with pytest.raises(RunError, match="No space left"):
        translated(tmp_path)
    monkeypatch.undo()
    book = PhraseBook()
    translated(tmp_path, book)
    assert [len(asked) for _, asked, _ in book.asked] == [4, 4, 4, 4]
    assert all_bytes(tmp_path / "mine") == all_bytes(tmp_path / "whole")


def test_the_audit_reads_the_questions(tmp_path):
    """A fault that no row shows by itself: one translation with a sentence added to it in many rows."""
    rows = [*demo_rows("en", 6), demo_rows("en", 1)[0] | {"id": "twice"}]
    path = write_rows(tmp_path / "questions.jsonl", rows)
    result = translate_questions(path, "de", out=tmp_path / "mine", config=config(), translator=PhraseBook())
    assert {(finding.check, finding.split) for finding in result.findings} == {("repeated-item", "train")}
