"""The bytes that each token of a vocabulary stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers.convert_slow_tokenizer import bytes_to_unicode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def vocabulary_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes]:
    """The bytes of each token id in a text; empty for special tokens. Byte-level vocabularies are read by their
    alphabet and <0x..> by its number: decoding a part of a character alone gives a replacement character."""
    alphabet = {character: byte for byte, character in bytes_to_unicode().items()}
    byte_level = "ByteLevel" in str(tokenizer.backend_tokenizer.decoder)
    special = set(tokenizer.all_special_ids)
    vocabulary = []
    for token, text in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if token in special or text is None:
            vocabulary.append(b"")
        elif byte_level:
            vocabulary.append(bytes(alphabet[character] for character in text if character in alphabet))
        elif len(text) == 6 and text.startswith("<0x"):
            vocabulary.append(bytes([int(text[3:5], 16)]))
        else:
            vocabulary.append(text.replace("\u2581", " ").encode())
    return vocabulary
