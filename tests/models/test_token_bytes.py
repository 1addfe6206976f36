from __future__ import annotations

import pytest

from spillover.models.token_bytes import vocabulary_bytes
from tests.builders import make_tokenizer


@pytest.mark.parametrize("kind", ["byte-level", "byte-fallback"])
def test_vocabulary_bytes_spell_the_text(kind):
    tokenizer = make_tokenizer(kind)
    spelled = vocabulary_bytes(tokenizer)
    text = 'Answer: "蕴含 ความ'
    ids = tokenizer(text).input_ids
    assert b"".join(spelled[i] for i in ids).decode().strip() == text
    assert all(spelled[i] == b"" for i in tokenizer.all_special_ids)
