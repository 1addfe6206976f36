from __future__ import annotations

from types import SimpleNamespace

import pytest

from spillover.core.errors import ModelError
from spillover.core.languages import known_languages, language
from spillover.models.translators.language_tokens import Direction, bcp47, direction, language_tokens
from tests.models.translators.builders import CHINESE, ENGLISH, GERMAN, SWAHILI, madlad_tokenizer, nllb_tokenizer

NO_CONFIG = SimpleNamespace()


class Vocabulary:
    """A tokenizer of which only the vocabulary matters; each token is read as a whole."""

    def __init__(self, tokens=(), special=(), **attributes):
        self.tokens = [*tokens, *special]
        self.all_special_tokens, self.added_tokens_decoder = list(special), {}
        vars(self).update(attributes)

    def get_vocab(self):
        return {token: i for i, token in enumerate(self.tokens)}

    def convert_tokens_to_ids(self, token):
        return self.tokens.index(token)

    def __call__(self, text):
        return {"input_ids": [self.tokens.index(token) for token in text.split() if token in self.tokens]}


def asked(tokenizer, source, target, config=NO_CONFIG):
    return direction("m", tokenizer, config, source, target)


def test_nllb_names_both_languages_by_token():
    assert asked(nllb_tokenizer(), ENGLISH, CHINESE) == Direction(source="eng_Latn", target="zho_Hans")
    assert asked(nllb_tokenizer(), SWAHILI, language("zh-Hant")) == Direction(source="swh_Latn", target="zho_Hant")


def test_m2m100_has_tokens_beside_its_vocabulary():
    tokenizer = Vocabulary(src_lang="en", lang_token_to_id={"__en__": 1, "__de__": 2})
    assert asked(tokenizer, ENGLISH, GERMAN) == Direction(source="__en__", target="__de__")


def test_mbart_names_regions():
    special = ["en_XX", "de_DE", "zh_CN", "sw_KE"]
    tokenizer = Vocabulary(special=special, src_lang="en_XX")
    found = [asked(tokenizer, ENGLISH, target).target for target in (GERMAN, CHINESE, SWAHILI)]
    assert found == special[1:]


def test_madlad_and_opus_put_a_token_before_the_text():
    assert asked(madlad_tokenizer("de", "sw"), ENGLISH, SWAHILI).prompt == "<2sw> {text}"
    opus = Vocabulary([">>deu<<", ">>cmn_Hans<<", ">>no_no_no<<"])
    assert asked(opus, ENGLISH, GERMAN).prompt == ">>deu<< {text}"
    assert asked(opus, ENGLISH, CHINESE).prompt == ">>cmn_Hans<< {text}"


def test_ordinary_pieces_that_look_like_codes_are_none():
    assert language_tokens(Vocabulary(["de_DE", "the_Cats", "__init__", "<2>", "a"])) == {}


def test_a_language_that_is_missing_is_named_with_those_that_are_there():
    with pytest.raises(ModelError, match="has no language token for German \\(de\\) among its 2") as error:
        asked(Vocabulary(special=["eng_Latn", "nld_Latn"], src_lang="eng_Latn"), ENGLISH, GERMAN)
    assert error.value.hint.endswith("it has en nl")


def test_near_languages_are_not_taken_for_each_other():
    tokenizer = Vocabulary(special=["eng_Latn", "dan_Latn", "nno_Latn"], src_lang="eng_Latn")
    with pytest.raises(ModelError, match="Norwegian"):
        asked(tokenizer, ENGLISH, language("no"))
    tokenizer = Vocabulary(special=["eng_Latn", "dan_Latn", "nob_Latn", "zsm_Latn", "ind_Latn"], src_lang="eng_Latn")
    assert asked(tokenizer, ENGLISH, language("no")).target == "nob_Latn"
    assert asked(tokenizer, ENGLISH, language("ms")).target == "zsm_Latn"


def test_every_bundled_language_is_found_in_the_list_of_nllb():
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    tokenizer = Vocabulary(special=FAIRSEQ_LANGUAGE_CODES, src_lang="eng_Latn")
    found = {code: asked(tokenizer, ENGLISH, language(code)).target for code in known_languages()}
    expected = [
        "eng",
        "zho",
        "deu",
        "fra",
        "spa",
        "ita",
        "nld",
        "jpn",
        "rus",
        "swe",
        "slv",
        "pol",
        "bul",
        "nob",
        "zsm",
        "isl",
        "hin",
        "tha",
        "swh",
        "ben",
    ]
    assert [token.partition("_")[0] for token in found.values()] == expected
    assert found["zh"] == "zho_Hans"


def test_t5_has_prefixes_in_its_config():
    config = SimpleNamespace(
        task_specific_params={
            "translation_en_to_de": {"prefix": "translate English to German: "},
            "summarization": {"prefix": "summarize: "},
        }
    )
    assert asked(Vocabulary(), ENGLISH, GERMAN, config).prompt == "translate English to German: {text}"
    with pytest.raises(ModelError, match="does not translate German to English") as error:
        asked(Vocabulary(), GERMAN, ENGLISH, config)
    assert error.value.hint == "it translates en to de"


def test_a_model_of_one_pair_says_which():
    tokenizer = Vocabulary(source_lang="eng", target_lang="de")
    assert asked(tokenizer, ENGLISH, GERMAN).prompt == "{text}"
    with pytest.raises(ModelError, match="its target language is de, not Swahili"):
        asked(tokenizer, ENGLISH, SWAHILI)
    assert asked(Vocabulary(source_lang="gmw", target_lang="en"), GERMAN, ENGLISH) == Direction()


def test_a_model_that_says_nothing_is_refused():
    with pytest.raises(ModelError, match="nothing says which languages"):
        asked(Vocabulary(), ENGLISH, GERMAN)


def test_a_token_that_is_read_as_text_is_refused():
    tokenizer = Vocabulary(["<2de>"])
    tokenizer.tokens = ["x", "<2de>"]
    tokenizer.__class__ = type("Splitting", (Vocabulary,), {"__call__": lambda self, text: {"input_ids": [0, 0]}})
    with pytest.raises(ModelError, match="splits its own language token <2de>"):
        asked(tokenizer, ENGLISH, GERMAN)


@pytest.mark.parametrize(
    ("named", "code"), [("deu_Latn", "de"), ("en_XX", "en"), ("zsm_Latn", "ms"), ("init", None), ("a", None)]
)
def test_codes_of_models_are_standard_codes(named, code):
    assert bcp47(named) == code
