"""The bundled wording, and what a user's own folder gets told."""

from __future__ import annotations

import shutil

import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.core.files import resources
from spillover.core.languages import known_languages, language, reference_language
from spillover.tasks.examples import language_files, load_parallel, read_examples
from spillover.tasks.prompts import answers
from spillover.tasks.wording import bundled_tasks, load_task

SHOTS = {"sentiment": 2, "nli": 6, "paraphrase": 4, "topic": 7, "copa": 2, "story": 2, "reading": 1}
LABELLED = [name for name in SHOTS if load_task(name).kind == "labels"]
OWN_ANSWERS = [name for name in bundled_tasks() if load_task(name).kind != "labels"]


@pytest.mark.parametrize("name", SHOTS)
def test_bundled_tasks_speak_twenty_languages(name):
    task = load_task(name)
    assert tuple(task.wordings) == known_languages()
    assert len(task.shots) == SHOTS[name]


def test_every_bundled_task_with_wording_is_counted_here():
    assert set(SHOTS) == {name for name in bundled_tasks() if load_task(name).kind != "pairs"}


@pytest.mark.parametrize("name", LABELLED)
def test_labels_have_as_many_shots_each_and_words_of_their_own(name):
    task = load_task(name)
    gold = list(task.shots.values())
    assert {gold.count(label) for label in task.labels} == {SHOTS[name] // len(task.labels)}
    for code in task.wordings:
        for label_set in ("native", "english", "irrelevant"):
            assert len(set(answers(task, label_set, code))) == len(task.labels)


@pytest.mark.parametrize("name", LABELLED)
def test_demo_data_is_parallel_balanced_and_translated(name):
    task = load_task(name)
    files = language_files("demo", task, "test")
    assert tuple(files) == known_languages()
    examples = load_parallel("demo", task, "test", list(files))
    gold = [example.label for example in examples["en"]]
    assert len(gold) >= 24
    assert len({gold.count(label) for label in task.labels}) == 1
    for code, rows in examples.items():
        texts = [tuple(row.fields.values()) for row in rows]
        assert len(set(texts)) == len(texts), code
        if code != "en":
            assert not set(texts) & {tuple(row.fields.values()) for row in examples["en"]}, code
        if len(task.fields) == 2:
            assert all(first != second for first, second in texts), code


@pytest.mark.parametrize("name", OWN_ANSWERS)
def test_the_place_of_the_right_answer_says_nothing_in_the_demo_data(name):
    task = load_task(name)
    files = language_files("demo", task, "test")
    assert tuple(files) == known_languages()
    for code, path in files.items():
        rows = read_examples(path, task, code)
        gold = [row.label for row in rows]
        counts = [gold.count(str(place)) for place in range(task.choices)]
        assert max(counts) - min(counts) <= 1, code
        assert len({(*row.fields.values(), *row.choices) for row in rows}) == len(rows), code


@pytest.mark.parametrize("name", [name for name in OWN_ANSWERS if load_task(name).parallel])
def test_items_with_answers_of_their_own_are_translated(name):
    task = load_task(name)
    examples = load_parallel("demo", task, "test", list(known_languages()))
    english = examples.pop(reference_language())
    for code, rows in examples.items():
        for row, original in zip(rows, english, strict=True):
            said = [text for key, text in row.fields.items() if key not in task.values]
            assert not set(said) & set(original.fields.values()), (code, row.id)


def test_demo_has_training_questions_in_six_languages():
    files = language_files("demo", load_task("sentiment"), "train")
    assert set(files) == {"en", "es", "de", "fr", "zh", "sw"}
    examples = load_parallel("demo", load_task("sentiment"), "train", list(files))
    assert all(len(rows) >= 64 for rows in examples.values())


def own_task(tmp_path, **changes):
    folder = tmp_path / "mine"
    shutil.copytree(resources() / "tasks" / "sentiment", folder)
    for name, (old, new) in changes.items():
        path = folder / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_a_users_own_folder_is_a_task(tmp_path):
    task = load_task(str(own_task(tmp_path, task=("name: sentiment", "name: mine"))))
    assert task.name == "mine"
    assert task.fingerprint != load_task("sentiment").fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"de": ("positive: positiv", "positive: negativ")}, "two labels have the same word"),
        ({"de": ("answer_word:", "anwser_word:")}, "words: expected"),
        ({"de": ("sentiment-shot-2:", "shot-2:")}, "shots: expected"),
        ({"de": ("provenance: machine-translated", "provenance: found it")}, "provenance"),
        ({"de": ("language: de", "language: fr")}, "language: 'fr' in a file named de.yaml"),
        ({"task": ("labels: [positive, negative]", "labels: [positive, bad]")}, "label 'negative' is not one of"),
        ({"task": ("{review}", "{text}")}, "must stand in it once"),
        ({"task": ("version: 1", "versoin: 1")}, "versoin"),
        ({"task": ("shots:", "irrelevant: {x: y}\nshots:")}, "irrelevant"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        load_task(str(own_task(tmp_path, **changes)))
    assert f"{next(iter(changes))}.yaml" in caught.value.message


def test_all_mistakes_are_named_at_once(tmp_path):
    folder = own_task(tmp_path, de=("positive: positiv", "positive: negativ"), fr=("language: fr", "language: it"))
    with pytest.raises(DataError) as caught:
        load_task(str(folder))
    assert "de.yaml" in caught.value.message
    assert "fr.yaml" in caught.value.message


def test_unknown_task_lists_the_bundled_ones():
    with pytest.raises(ConfigError, match="'sentimnet'") as caught:
        load_task("sentimnet")
    assert all(name in caught.value.hint for name in bundled_tasks())


def test_languages_in_other_scripts_have_their_label_words_in_latin_letters():
    for name in LABELLED:
        for code, wording in load_task(name).wordings.items():
            latin = language(code).script == "Latn"
            assert bool(wording.romanised) != latin, (name, code)
            assert all(word.isascii() for word in wording.romanised.values())


def test_a_romanised_label_that_is_missing_is_refused(tmp_path):
    folder = own_task(tmp_path, zh=("  negative: fumian\n", ""))
    with pytest.raises(DataError, match=r"zh\.yaml: romanised: expected positive, negative, found positive"):
        load_task(str(folder))


def copa_with(tmp_path, name, old, new):
    folder = tmp_path / "copa"
    shutil.copytree(resources() / "tasks" / "copa", folder)
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / f"{name}.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("de", "  question:\n    cause:", "  premise:\n    cause:", "values: expected question, found premise"),
        ("de", "    effect: Was", "    result: Was", "values: question: expected different words for cause, effect"),
        ("de", "question: effect", "question: why", "shots: copa-shot-2: question 'why' is not one of cause, effect"),
        ("task", "values: {question:", "values: {ask:", "values: 'ask' is not one of the fields premise, question"),
    ],
)
def test_a_mistake_in_the_words_for_codes_is_named(tmp_path, name, old, new, message):
    with pytest.raises(DataError, match=rf"{name}\.yaml: {message}"):
        load_task(copa_with(tmp_path, name, old, new))
