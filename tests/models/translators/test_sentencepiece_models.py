"""M2M100 and opus-mt, whose tokenizers need sentencepiece."""

from __future__ import annotations

import json

import pytest
import transformers

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ModelError
from spillover.models.translators import IncompleteTranslation
from spillover.models.translators.seq2seq import load_seq2seq
from tests.models.translators.builders import CHINESE, ENGLISH, GERMAN, random_module

spm = pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

TEXT = ["a cat sat on the mat", "the dog runs fast", "eine Katze sitzt", "der Hund läuft schnell und weit"]
SHAPE = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """(file of a sentencepiece model, its pieces)."""
    folder = tmp_path_factory.mktemp("pieces")
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 20), model_prefix=str(folder / "s"), vocab_size=60, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    model = spm.SentencePieceProcessor(model_file=str(folder / "s.model"))
    named = [model.id_to_piece(number) for number in range(model.get_piece_size())]
    return folder / "s.model", [piece for piece in named if piece not in ("<unk>", "<s>", "</s>")]


def translated(folder, target=GERMAN):
    """(translator, its translations, the tokens of the last text that the encoder read)."""
    translator = load_seq2seq(TranslatorConfig(seq2seq=str(folder), max_new_tokens=6, dtype="float32"))
    read, generate = [], translator.module.generate

    def spied(**options):
        read.append(translator.tokenizer.convert_ids_to_tokens(options["input_ids"][-1].tolist()))
        return generate(**options)

    translator.module.generate = spied
    try:
        texts = translator.translate(["a cat", "the dog runs"], ENGLISH, target)
    except IncompleteTranslation as error:
        texts = error.translations
    return translator, texts, read[-1]


def test_m2m100_is_told_both_languages(tmp_path, pieces):
    model, named = pieces
    vocabulary = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *named])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = transformers.M2M100Tokenizer(str(tmp_path / "vocab.json"), str(model))
    config = transformers.M2M100Config(
        vocab_size=len(vocabulary) + 108, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
        **SHAPE,
    )  # fmt: skip
    random_module(transformers.M2M100ForConditionalGeneration(config), 0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    translator, texts, read = translated(tmp_path)
    assert translator.prompt(ENGLISH, GERMAN) == "[__en__] {text} -> [__de__]"
    assert read[0] == "__en__"
    assert not any(text.startswith("__de__") for text in texts)


@pytest.mark.parametrize(("codes", "languages"), [([], ("en", "de")), ([">>deu<<", ">>swh<<"], ("eng", "gmw"))])
def test_opus_mt_of_one_pair_and_of_several_languages(tmp_path, pieces, codes, languages):
    model, named = pieces
    vocabulary = {token: i for i, token in enumerate(["</s>", "<unk>", *named, *codes, "<pad>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = transformers.MarianTokenizer(
        str(model), str(model), str(tmp_path / "vocab.json"), source_lang=languages[0], target_lang=languages[1]
    )
    padding = vocabulary["<pad>"]
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=padding, eos_token_id=0, decoder_start_token_id=padding,
        forced_eos_token_id=None, **SHAPE,
    )  # fmt: skip
    random_module(transformers.MarianMTModel(config), 0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _, texts, read = translated(tmp_path)
    assert len(texts) == 2
    assert (">>deu<<" in read) == bool(codes)
    with pytest.raises(ModelError, match="Chinese"):
        translated(tmp_path, CHINESE)
