from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field, replace

import pytest

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError, DataError, MissingExtra, ModelError, RunError
from spillover.models.translators import IncompleteTranslation
from spillover.stages.alternatives.translation_quality import chrf
from spillover.stages.alternatives.translations import translate_items
from spillover.stages.compare.pairing import join
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, kind_task, write_rows

WORDS = {
    "de": ("Das Brot ist {}.", "gut schlecht alt neu kalt warm"),
    "es": ("El pan es {}.", "bueno malo viejo nuevo frío tibio"),
}
ENGLISH = ("The bread is {}.", "good bad old new cold warm")
AT_A_TIME = TranslatorConfig(batch=2)


def sentences(template, words):
    return [template.format(word) for word in words.split()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for code, (template, words) in {"en": ENGLISH, **WORDS}.items():
        rows = [
            {"id": f"item-{i}", "review": text, "label": ("positive", "negative")[i % 2]}
            for i, text in enumerate(sentences(template, words))
        ]
        write_rows(folder / "sentiment" / "test" / f"{code}.jsonl", rows)
    return str(folder)


@pytest.fixture(scope="module")
def benchmark(data):
    return open_benchmark("sentiment", data=data)


@dataclass
class Dictionary:
    """Translates what it knows, and fails at call number `fails`."""

    name: str = "dictionary"
    fingerprint: str = "0123456789abcdef"
    fails: int | None = None
    changed: dict[str, object] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def prompt(self, source, target):
        return f"{source.name} to {target.name}: {{text}}"

    def translate(self, texts, source, target, *, retry=False):
        if self.fails == len(self.asked):
            raise KeyboardInterrupt
        self.asked.append(list(texts))
        known = dict(zip(sentences(*WORDS[source.code]), sentences(*ENGLISH), strict=True))
        return [self.changed.get(text, known[text]) for text in texts]


def test_a_perfect_translation_is_scored_as_the_english_item_and_kept_in_the_run(benchmark, tiny, tmp_path):
    made = translate_items(benchmark, Dictionary(), out=tmp_path / "run", config=AT_A_TIME)
    base = evaluate(tiny, replace(benchmark), out=tmp_path / "run")
    after = evaluate(tiny, made.benchmark, out=tmp_path / "run", name="translate-test")
    for code in ("de", "es"):
        assert (after.scores[code].logprobs == base.scores["en"].logprobs).all()
        assert after.scores[code].language == code
    assert (after.scores["en"].logprobs == base.scores["en"].logprobs).all()
    pairs = join(base, after)
    assert all(first.example_ids == second.example_ids for first, second in pairs.values())
    assert (base.experiment.text, after.experiment.text) == ("own", made.benchmark.translated.text)
    assert after.experiment.text.startswith("translated into en by dictionary (01234567), text ")
    assert after.key != base.key
    assert (
        read_evaluation(tmp_path / "run" / "evaluate" / "translate-test" / "sentiment").experiment == after.experiment
    )
    folder = tmp_path / "run" / "alternatives" / "translations" / "translate-test" / "sentiment"
    assert sorted(path.name for path in folder.iterdir()) == ["de.jsonl", "es.jsonl", "translator.json"]
    first, *_ = map(json.loads, (folder / "de.jsonl").read_text().splitlines())
    assert first == {"id": "item-0", "texts": ["Das Brot ist gut."], "translations": ["The bread is good."]}
    provenance = json.loads((folder / "translator.json").read_text())
    assert (provenance["translator"], provenance["fingerprint"]) == ("dictionary", "0123456789abcdef")
    assert provenance["prompts"]["de"] == "German to English: {text}"
    assert provenance["settings"]["max_new_tokens"] == 256


def test_quality_is_chrf_against_the_parallel_items_beside_that_of_other_items(benchmark, tmp_path):
    changed = {"Das Brot ist alt.": "", "Das Brot ist neu.": " Das Brot ist neu. ", "El pan es malo.": "Bread is bad."}
    made = translate_items(benchmark, Dictionary(changed=changed), out=tmp_path / "run")
    rows = made.quality.set_index("language")
    assert list(rows["items"]) == list(rows["texts"]) == [6, 6]
    assert rows["empty"].to_dict() == {"de": 1, "es": 0}
    assert rows["unchanged"].to_dict() == {"de": 1, "es": 0}
    hypotheses = [
        "The bread is good.",
        "The bread is bad.",
        "",
        "Das Brot ist neu.",
        "The bread is cold.",
        "The bread is warm.",
    ]
    assert rows["chrf"]["de"] == pytest.approx(chrf(hypotheses, sentences(*ENGLISH)))
    assert chrf(sentences(*ENGLISH), sentences(*ENGLISH)) == pytest.approx(100)
    assert 0 < rows["chrf_others"]["es"] < rows["chrf"]["es"] < 100
    assert math.isnan(chrf([], []))
    assert made.chrf == pytest.approx(rows["chrf"].mean())
    assert math.isnan(made.tokens)
    assert made.seconds >= 0
    texts = {row.id: row.fields["review"] for row in made.benchmark.translated.items["de"].values()}
    assert (texts["item-2"], texts["item-3"]) == ("", "Das Brot ist neu.")


def test_a_kill_loses_the_batch_in_flight_and_the_rest_is_not_translated_again(benchmark, tmp_path):
    translate_items(benchmark, Dictionary(), out=tmp_path / "whole", config=AT_A_TIME)
    killed, resumed = Dictionary(fails=4), Dictionary()
    with pytest.raises(KeyboardInterrupt):
        translate_items(benchmark, killed, out=tmp_path / "run", config=AT_A_TIME)
    folder = "alternatives/translations/translate-test/sentiment"
    with (tmp_path / "run" / folder / "es.batches.jsonl").open("a") as file:
        file.write('{"key": "half')
    translate_items(benchmark, resumed, out=tmp_path / "run", config=AT_A_TIME)
    assert (len(killed.asked), len(resumed.asked)) == (4, 2)
    for code in ("de", "es"):
        whole, run = (tmp_path / name / folder / f"{code}.jsonl" for name in ("whole", "run"))
        assert whole.read_bytes() == run.read_bytes()
    assert not list((tmp_path / "run").rglob("*batches*"))
    again = Dictionary()
    translate_items(benchmark, again, out=tmp_path / "run", config=AT_A_TIME)
    assert again.asked == []


def test_equal_texts_are_translated_once(data, tmp_path):
    translator = Dictionary()
    benchmark = open_benchmark("sentiment", data=data, languages="en,de")
    rows = [
        {"id": f"item-{i}", "review": "Das Brot ist gut.", "label": ("positive", "negative")[i % 2]} for i in range(6)
    ]
    write_rows(tmp_path / "data" / "sentiment" / "test" / "de.jsonl", rows)
    repeated = open_benchmark("sentiment", data=str(tmp_path / "data"))
    made = translate_items(repeated, translator, out=tmp_path / "run")
    assert translator.asked == [["Das Brot ist gut."]]
    assert len(made.benchmark.translated.items["de"]) == len(benchmark.examples()["de"]) == 6
    assert made.quality["reason"].tolist() == ["sentiment lacks these items in en"]
    assert math.isnan(made.chrf)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: texts[1:], "1 translations of 2 texts in de"),
        (lambda texts: [None] * len(texts), "no text as translation of 'Das Brot ist gut.' in de"),
        (lambda texts: ["half a \ud83d"] * len(texts), "no text as translation"),
    ],
)
def test_what_is_not_one_text_for_each_is_refused(benchmark, tmp_path, monkeypatch, answer, message):
    monkeypatch.setattr(Dictionary, "translate", lambda self, texts, *_, **__: answer(texts))
    with pytest.raises(ModelError, match=message):
        translate_items(benchmark, Dictionary(), out=tmp_path / "run", config=AT_A_TIME)
    assert list((tmp_path / "run" / "alternatives").rglob("*.jsonl")) == []


def test_a_cut_translation_is_asked_as_far_as_it_goes_and_counted(benchmark, tmp_path, monkeypatch):
    def cut(self, texts, source, target, *, retry=False):
        raise IncompleteTranslation(self.name, texts, ["The bread"] * len(texts), {0: "does not end"})

    monkeypatch.setattr(Dictionary, "translate", cut)
    made = translate_items(benchmark, Dictionary(), out=tmp_path / "run", config=TranslatorConfig(batch=3))
    assert made.quality["cut"].tolist() == [2, 2]
    assert {row.fields["review"] for row in made.benchmark.translated.items["de"].values()} == {"The bread"}


def test_another_translator_in_the_same_place_is_refused_and_so_is_a_damaged_file(benchmark, tmp_path):
    translate_items(benchmark, Dictionary(), out=tmp_path / "run")
    with pytest.raises(RunError, match="made with other settings: fingerprint: 0123456789abcdef → other"):
        translate_items(benchmark, Dictionary(fingerprint="other"), out=tmp_path / "run")
    with pytest.raises(RunError, match=r"settings\.shots: 4 → 2"):
        configs = (TranslatorConfig(), TranslatorConfig(shots=2))
        for config in configs:
            translate_items(benchmark, Dictionary(), out=tmp_path / "other", config=config)
    path = tmp_path / "run" / "alternatives" / "translations" / "translate-test" / "sentiment" / "de.jsonl"
    path.write_text('{"id": "item-0", "texts": ["Das Brot ist gut."], "translations": ["The bread is good."]}\n')
    with pytest.raises(DataError, match=r"de\.jsonl: damaged, or of another version \(ValueError: other texts\)"):
        translate_items(benchmark, Dictionary(), out=tmp_path / "run")


def test_a_language_that_the_translator_does_not_know_is_said_before_anything_is_written(
    benchmark, tmp_path, monkeypatch
):
    def prompt(self, source, target):
        raise ModelError(f"does not know {source.name}")

    monkeypatch.setattr(Dictionary, "prompt", prompt)
    with pytest.raises(ModelError, match="does not know German"):
        translate_items(benchmark, Dictionary(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pairs_are_not_translated(tmp_path):
    pairs = open_benchmark(kind_task("agreement"), data=KIND_DATA)
    with pytest.raises(ConfigError, match="agreement: a pair is judged by its own words"):
        translate_items(pairs, Dictionary(), out=tmp_path / "run")


def test_without_sacrebleu_it_says_what_to_install(benchmark, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtra, match=r"needs sacrebleu.*spillover\[translate\]"):
        translate_items(benchmark, Dictionary(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
