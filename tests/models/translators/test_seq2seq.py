from __future__ import annotations

import pytest
import torch

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ModelError
from spillover.models.translators import IncompleteTranslation, open_translator
from spillover.models.translators.seq2seq import Seq2SeqTranslator
from tests.builders import save_model
from tests.models.translators.builders import CHINESE, ENGLISH, GERMAN, madlad_tokenizer, nllb_model, t5_model

TEXTS = ["a cat", "the dog sat.", "no", "a much longer sentence about nothing"]


def translator(made, **values) -> Seq2SeqTranslator:
    return Seq2SeqTranslator("tiny", "f", *made, TranslatorConfig(max_new_tokens=8, **values))


def translations(made, texts=TEXTS, target=GERMAN, **values):
    """Also those that do not end: a random model seldom does."""
    retry = values.pop("retry", False)
    try:
        return translator(made, **values).translate(texts, ENGLISH, target, retry=retry)
    except IncompleteTranslation as error:
        return error.translations


@pytest.mark.parametrize("make", [nllb_model, lambda: t5_model(madlad_tokenizer("de", "zh"))])
def test_batches_change_nothing_and_the_target_changes_all(make):
    made = make()
    one_by_one = [translations(made, [text])[0] for text in TEXTS]
    assert translations(made, batch=4) == one_by_one
    assert translations(made, batch=3) == one_by_one
    assert len(set(one_by_one)) > 1
    assert translations(made, target=CHINESE) != one_by_one


def test_both_languages_reach_the_model(monkeypatch):
    module, tokenizer = nllb_model()
    seen = {}
    generate = module.generate

    def spied(**options):
        seen.update(options)
        return generate(**options)

    monkeypatch.setattr(module, "generate", spied)
    translations((module, tokenizer), TEXTS[:1])
    assert seen["input_ids"][0, 0] == tokenizer.convert_tokens_to_ids("eng_Latn")
    assert seen["forced_bos_token_id"] == tokenizer.convert_tokens_to_ids("deu_Latn")
    assert (seen["do_sample"], seen["num_beams"]) == (False, 1)
    translations((module, tokenizer), TEXTS[:1], retry=True)
    assert (seen["num_beams"], seen["no_repeat_ngram_size"]) == (5, 4)


def test_a_translation_that_ends_is_whole_and_one_that_does_not_is_named(monkeypatch):
    module, tokenizer = nllb_model()
    letters = [tokenizer.convert_tokens_to_ids(token) for token in ("▁", "j", "a")]
    german = tokenizer.convert_tokens_to_ids("deu_Latn")

    def writing(*tail):
        row = [2, german, *letters, *tail]  # many decoders begin with the end token
        monkeypatch.setattr(module, "generate", lambda input_ids, **_: torch.tensor([row] * len(input_ids)))

    writing(2, 1)
    assert translator((module, tokenizer)).translate(["yes\n\nyes"], ENGLISH, GERMAN) == ["ja\n\nja"]
    writing()
    with pytest.raises(IncompleteTranslation, match="does not end within 8 tokens") as error:
        translator((module, tokenizer)).translate(["yes"], ENGLISH, GERMAN)
    assert error.value.translations == ["ja"]


def test_a_text_that_is_too_long_is_named_and_the_others_are_translated(monkeypatch):
    module, tokenizer = nllb_model()
    monkeypatch.setattr(module, "generate", lambda **options: torch.tensor([[2, 4, 2]] * len(options["input_ids"])))
    with pytest.raises(IncompleteTranslation, match="67 tokens with its prompt, and the translator reads 64") as error:
        translator((module, tokenizer)).translate(["a", "b" * 64, "c"], ENGLISH, GERMAN)
    assert list(error.value.reasons) == [1]


def test_a_saved_model_is_opened_with_its_fingerprint(tmp_path):
    module, tokenizer = nllb_model()
    for folder, made in (("one", module), ("two", nllb_model(1)[0])):
        made.save_pretrained(tmp_path / folder)
        tokenizer.save_pretrained(tmp_path / folder)
    config = TranslatorConfig(seq2seq=str(tmp_path / "one"), max_new_tokens=8, dtype="float32")
    opened = open_translator(config)
    assert opened.prompt(ENGLISH, GERMAN) == "[eng_Latn] {text} -> [deu_Latn]"
    other = open_translator(config.model_copy(update={"seq2seq": str(tmp_path / "two")}))
    assert opened.fingerprint != other.fingerprint
    assert opened.fingerprint == open_translator(config).fingerprint
    with pytest.raises(IncompleteTranslation) as error:
        opened.translate(TEXTS, ENGLISH, GERMAN)
    assert error.value.translations == translations((module, tokenizer))


def test_what_is_no_translation_model_is_refused_with_the_cure(tmp_path):
    with pytest.raises(ModelError, match="not a translation model") as error:
        open_translator(TranslatorConfig(seq2seq=str(save_model(tmp_path / "causal"))))
    assert "--causal" in error.value.hint
    with pytest.raises(ModelError, match="no such folder"):
        open_translator(TranslatorConfig(seq2seq=str(tmp_path / "nothing")))


def test_weights_that_are_missing_are_an_error(tmp_path):
    module, tokenizer = t5_model(madlad_tokenizer("de"))
    state = {name: tensor for name, tensor in module.state_dict().items() if "decoder.block.1.layer.0" not in name}
    module.save_pretrained(tmp_path, state_dict=state)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="missing from its files"):
        open_translator(TranslatorConfig(seq2seq=str(tmp_path)))
