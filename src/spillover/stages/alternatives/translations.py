"""A benchmark's items → their translations into the reference language, by the model itself or by another translator.

1. The distinct texts of a language (`tasks.translated_items` says which), in batches. Each finished batch is appended
   to a file beside the result, so a kill loses at most the batch in flight; on resume the batches are the same.
2. <run>/alternatives/translations/<name>/<task>/<language>.jsonl: a line for each item with its texts and their
   translations, in one order. translator.json beside them says what made them, and what it cost.
3. A table of their quality: chrF against the items in the reference language, and what is empty or unchanged.

The reference language itself is not translated.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.core.file_names import check_file_name
from spillover.core.files import append_line, as_data_error, hash_of, read_json, read_jsonl, write_json, write_jsonl
from spillover.core.languages import language, reference_language
from spillover.core.runs import open_run
from spillover.core.types import Example, Progress, no_progress
from spillover.models.translators.translator import IncompleteTranslation, Translator
from spillover.stages.alternatives.result import TranslatedTexts
from spillover.stages.alternatives.result_files import TRANSLATED_TEXTS
from spillover.stages.alternatives.translation_quality import check_sacrebleu, quality_table
from spillover.tasks.benchmark import Benchmark, open_benchmark
from spillover.tasks.translated_items import TranslatedItems, item_texts, with_texts

if TYPE_CHECKING:
    import pandas as pd

PROVENANCE = "translator.json"
# They change no translation, up to rounding.
NOT_SETTINGS = {"batch", "device", "timeout"}


@dataclass(frozen=True)
class Translations:
    """What a translator made of a benchmark's items. benchmark: asked in the reference language from here on. texts: by
    language, without the reference language. quality: a row per language, with `TRANSLATION_COLUMNS` but for the
    names of task and row."""

    benchmark: Benchmark
    texts: Mapping[str, TranslatedTexts]
    quality: pd.DataFrame

    @property
    def tokens(self) -> float:
        """Of all languages; NaN where the translator does not count them."""
        return math.fsum(own.tokens for own in self.texts.values())

    @property
    def seconds(self) -> float:
        """Of all languages."""
        return math.fsum(own.seconds for own in self.texts.values())

    @property
    def chrf(self) -> float:
        """The mean over the languages where it is defined; NaN where it is nowhere."""
        return float(self.quality["chrf"].mean())

    def shuffled(self, seed: int) -> Benchmark:
        """The benchmark with each item's text that of another item of its language."""
        translated = self.benchmark.translated
        assert translated is not None  # made here
        return replace(self.benchmark, translated=translated.shuffled(self.benchmark.task, seed))


def reason_not_translated(benchmark: Benchmark) -> str:
    """Why a benchmark cannot be asked in the reference language; "" where it can."""
    reference = reference_language()
    if benchmark.task.kind == "pairs":
        return "a pair is judged by its own words, which a translation does not keep"
    if reference not in benchmark.task.wordings:
        return f"the task has no wording in {reference}"
    return ""


def translate_items(
    benchmark: Benchmark | str,
    translator: Translator,
    *,
    out: Path | str,
    name: str = "translate-test",
    config: TranslatorConfig | None = None,
    progress: Progress = no_progress,
) -> Translations:
    """The items of a benchmark in the reference language's words, kept in <out>/alternatives/translations/<name>.

    benchmark: as `open_benchmark` gives it, or a task's name for its demo data. out: a run folder; what was translated
    there is not translated again. config: the translator's, where other settings give other translations. Score the
    `benchmark` of the result in place of the one given.

    ConfigError for a task that cannot be asked in the reference language, ModelError where the translator does not know
    a language or gives other than one text for each, MissingExtra without sacrebleu. A translation that is empty, or
    cut, is no error: the table counts it, and the item is asked with it.
    """
    check_sacrebleu()
    benchmark = open_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    if reason := reason_not_translated(benchmark):
        raise ConfigError(f"{benchmark.task.name}: {reason}", hint="translate the items of another task")
    run, stage_name = open_run(out), f"{TRANSLATED_TEXTS}/{check_file_name(name, 'name')}/{benchmark.task.name}"
    examples = benchmark.examples()
    reference = language(reference_language())
    made_by = {
        "translator": translator.name,
        "fingerprint": translator.fingerprint,
        "target": reference.code,
        "prompts": {code: translator.prompt(language(code), reference) for code in examples if code != reference.code},
        "settings": config.model_dump(exclude=NOT_SETTINGS) if config else {},
    }
    settings = made_by | {
        "data": benchmark.hashes(),
        "items": hash_of({code: [row.id for row in rows] for code, rows in examples.items()}),
        "fields": benchmark.task.text_fields,
    }
    batch = (config or TranslatorConfig()).batch
    with run.stage(stage_name, settings) as stage:
        work = _Work(translator, batch, run.path / stage_name, made_by, benchmark, progress)
        texts = {code: work.language(code, rows) for code, rows in examples.items() if code != reference.code}
        translated = _benchmark(benchmark, translator, examples, texts)
        result = Translations(translated, texts, quality_table(benchmark, examples, texts))
        if not stage.finished:
            tokens = None if math.isnan(result.tokens) else round(result.tokens)
            stage.facts |= {"translator_tokens": tokens, "translation_seconds": round(result.seconds, 1)}
    return result


def _benchmark(
    benchmark: Benchmark,
    translator: Translator,
    examples: Mapping[str, Sequence[Example]],
    texts: Mapping[str, TranslatedTexts],
) -> Benchmark:
    items = {
        code: {row.id: with_texts(benchmark.task, row, own.translations[row.id]) for row in examples[code]}
        for code, own in texts.items()
    }
    by = f"{translator.name} ({translator.fingerprint[:8]})"
    return replace(benchmark, translated=TranslatedItems(reference_language(), by, items))


@dataclass(frozen=True)
class _Work:
    """One translator on one benchmark. at_a_time: texts in a batch. folder: of its files. made_by: what these say of
    the translator."""

    translator: Translator
    at_a_time: int
    folder: Path
    made_by: Mapping[str, Any]
    benchmark: Benchmark
    progress: Progress

    def language(self, code: str, examples: Sequence[Example]) -> TranslatedTexts:
        """The translations of one language's items, from their file where it is finished."""
        path = self.folder / f"{code}.jsonl"
        texts = {row.id: item_texts(self.benchmark.task, row) for row in examples}
        costs = self._costs()
        if not (path.exists() and code in costs):
            translations, cost = self._translated(code, list(dict.fromkeys(t for own in texts.values() for t in own)))
            write_json(self.folder / PROVENANCE, {**self.made_by, "languages": {**costs, code: cost}})
            rows = {name: [translations[text] for text in own] for name, own in texts.items()}
            write_jsonl(path, ({"id": name, "texts": texts[name], "translations": own} for name, own in rows.items()))
            costs = self._costs()
        _batches_path(path).unlink(missing_ok=True)
        with as_data_error(path):
            read = [row for _, row in read_jsonl(path)]
            rows = {row["id"]: [str(text) for text in row["translations"]] for row in read}
            if {row["id"]: row["texts"] for row in read} != texts:
                raise ValueError("other texts")
            cut, tokens, seconds = (costs[code][key] for key in ("cut", "tokens", "seconds"))
        return TranslatedTexts(texts, rows, int(cut), math.nan if tokens is None else float(tokens), float(seconds))

    def _costs(self) -> dict[str, Any]:
        """What each finished language cost, of this translator as it is now."""
        path = self.folder / PROVENANCE
        if not path.exists():
            return {}
        with as_data_error(path):
            recorded = dict(read_json(path))
            costs = dict(recorded.pop("languages"))
        return costs if recorded == self.made_by else {}

    def _translated(self, code: str, texts: Sequence[str]) -> tuple[dict[str, str], dict[str, float]]:
        """(the translation of each of these distinct texts, what they cost)."""
        path = _batches_path(self.folder / f"{code}.jsonl")
        key = hash_of([self.made_by, self.at_a_time, list(texts)])
        finished = {row["first"]: row for row in _read_batches(path) if row["key"] == key}
        translations: dict[str, str] = {}
        cut, tokens, seconds = 0, 0.0, 0.0
        for first in range(0, len(texts), self.at_a_time):
            batch = texts[first : first + self.at_a_time]
            if first not in finished:
                finished[first] = {"key": key, "first": first} | self._batch(code, batch)
                append_line(path, json.dumps(finished[first]))
            row = finished[first]
            translations |= dict(zip(batch, row["translations"], strict=True))
            cut += row["cut"]
            tokens += math.nan if row["tokens"] is None else row["tokens"]
            seconds += row["seconds"]
            self.progress(f"translate {code}", len(translations), len(texts))
        return translations, {"cut": cut, "tokens": tokens, "seconds": round(seconds, 3)}

    def _batch(self, code: str, texts: Sequence[str]) -> dict[str, Any]:
        """Translations, how many are not whole, tokens (None where nobody counts them) and seconds of one batch.
        ModelError where there is not one text for each."""
        name, started, cut = self.translator.name, time.monotonic(), 0
        try:
            translations = self.translator.translate(texts, language(code), language(reference_language()))
        except IncompleteTranslation as error:  # what there is of them is what the method gives
            translations, cut = error.translations, len(error.problems)
        seconds = time.monotonic() - started
        if len(translations) != len(texts):
            raise ModelError(
                f"{name}: {len(translations)} translations of {len(texts)} texts in {code}",
                hint="one for each text, in order; an empty one where there is none",
            )
        if bad := [text for text, own in zip(texts, translations, strict=True) if not _is_text(own)]:
            raise ModelError(f"{name}: no text as translation of {bad[0][:60]!r} in {code}", hint="another translator")
        tokens = _tokens(self.translator, code, texts, translations)
        return {
            "translations": [text.strip() for text in translations], "cut": cut, "tokens": tokens, "seconds": seconds
        }  # fmt: skip


def _tokens(translator: Translator, code: str, texts: Sequence[str], translations: Sequence[str]) -> int | None:
    """How many tokens a model here read, with its prompt around each line, and wrote. None for a server or command,
    whose tokenizer nobody has."""
    tokenizer = getattr(getattr(translator, "model", translator), "tokenizer", None)
    if tokenizer is None:
        return None
    prompt = translator.prompt(language(code), language(reference_language()))
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    read = [prompt.replace("{text}", line.strip()) for line in lines]
    written = [line for text in translations for line in text.split("\n") if line.strip()]
    return sum(len(ids) for ids in tokenizer([*read, *written])["input_ids"])


def _is_text(value: object) -> bool:
    """Whether a file can hold it: half a character (a lone surrogate) is none."""
    return isinstance(value, str) and not any(0xD800 <= ord(char) < 0xE000 for char in value)


def _batches_path(path: Path) -> Path:
    return path.with_suffix(".batches.jsonl")


def _read_batches(path: Path) -> Iterator[dict[str, Any]]:
    """Finished batches; a last line that a kill cut short is none."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
