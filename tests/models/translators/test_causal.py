from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError
from spillover.models.translators import IncompleteTranslation
from spillover.models.translators.causal import CausalTranslator
from tests.builders import make_model
from tests.models.translators.builders import ENGLISH, GERMAN

TEXTS = ["a cat", "the dog sat on the mat.", "no", "a much longer sentence about nothing at all"]


def translations(model, texts=TEXTS, *, retry=False, **values):
    try:
        config = TranslatorConfig(**({"max_new_tokens": 6} | values))
        return CausalTranslator(model, config).translate(texts, ENGLISH, GERMAN, retry=retry)
    except IncompleteTranslation as error:
        return error.translations


@pytest.mark.parametrize(
    ("kind", "family"), [("byte-level", "llama"), ("byte-fallback", "llama"), ("byte-level", "bloom")]
)
def test_padding_on_the_left_changes_nothing(kind, family):
    model = make_model(kind, family=family)
    one_by_one = [translations(model, [text])[0] for text in TEXTS]
    assert translations(model, batch=4) == one_by_one
    assert translations(model, batch=3) == one_by_one
    assert len(set(one_by_one)) > 1


def test_a_retry_asks_in_another_way(tiny):
    assert translations(tiny, retry=True) != translations(tiny)


def generating(model, monkeypatch, *texts):
    """The model writes these texts."""
    ends = model.tokenizer.eos_token_id
    rows = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    width = max(map(len, rows))

    def generate(*, input_ids, eos_token_id, **options):
        kept = []
        for ids, row in zip(input_ids.tolist(), rows, strict=True):
            stop = next((i + 1 for i, token in enumerate(row) if token in eos_token_id), len(row))
            kept.append([*ids, *row[:stop], *[ends] * (width - stop)] if stop < len(row) else [*ids, *row])
        width_of_all = max(map(len, kept))
        return torch.tensor([[*row, *[ends] * (width_of_all - len(row))] for row in kept])

    monkeypatch.setattr(model.module, "generate", generate)


def test_a_translation_ends_with_its_line(monkeypatch):
    model = make_model()
    generating(model, monkeypatch, " Eine Katze\n\nEnglish: more", " ja\n")
    assert translations(model, ["a cat", "yes"]) == ["Eine Katze", "ja"]


def test_one_that_does_not_end_is_named_and_a_part_of_it_kept(monkeypatch):
    model = make_model()
    generating(model, monkeypatch, " und so weiter")
    with pytest.raises(IncompleteTranslation, match="does not end within 6 tokens") as error:
        CausalTranslator(model, TranslatorConfig(max_new_tokens=6)).translate(["and so on"], ENGLISH, GERMAN)
    assert error.value.translations == ["und so weiter"]


def test_a_text_beyond_the_context_is_named(tiny):
    with pytest.raises(IncompleteTranslation, match="and the translator reads 4090") as error:
        CausalTranslator(tiny, TranslatorConfig(max_new_tokens=6)).translate(["a" * 5000], ENGLISH, GERMAN)
    assert error.value.translations == [""]


def test_the_prompt_ends_where_the_translation_begins(tiny):
    prompt = CausalTranslator(tiny).prompt(ENGLISH, GERMAN)
    assert prompt.startswith("Translate from English to German.\n\nEnglish: The ferry")
    assert prompt.endswith("\n\nEnglish: {text}\nGerman:")
    own = CausalTranslator(tiny, sentences={"en": ["one"], "de": ["eins"]}).prompt(ENGLISH, GERMAN)
    assert "English: one\nGerman: eins\n" in own


def test_a_model_with_an_intervention_does_not_translate(tiny):
    with pytest.raises(ConfigError, match="does not translate"):
        CausalTranslator(replace(tiny, intervention=object()))
