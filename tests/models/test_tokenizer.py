from __future__ import annotations

import pytest

from spillover.core.errors import ModelError
from spillover.core.types import Prompt
from spillover.models.tokenizer import load_tokenizer


def test_it_counts_tokens_and_knows_the_context_without_weights(tiny_folder):
    next(tiny_folder.glob("*.safetensors")).unlink()
    counter = load_tokenizer(str(tiny_folder))
    assert (counter.name, counter.context) == (str(tiny_folder), 4096)
    lengths = counter.lengths(["good", "good good good", ""])
    assert lengths[2] == 0 < lengths[0] < lengths[1]


def test_the_tokens_of_a_label_are_those_that_are_scored(tiny_folder):
    counter = load_tokenizer(str(tiny_folder))
    short, long = counter.label_tokens(Prompt("i", "en", "", "Review: ", ("good", "good good")))
    assert long[: len(short)] == short


def test_a_damaged_tokenizer_is_one_line(tiny_folder):
    (tiny_folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="tokenizer '") as caught:
        load_tokenizer(str(tiny_folder))
    assert "\n" not in caught.value.message
