from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from spillover.core.errors import ModelError
from spillover.models.encoder import load_encoder


class Sentences:
    """Stands for sentence-transformers' model: a vector of the text's length and its number of words."""

    def __init__(self, name):
        if name == "nothing":
            raise OSError("no such model\nand more")

    def encode(self, texts, *, show_progress_bar):
        assert not show_progress_bar
        return [[len(text), len(text.split())] for text in texts]


@pytest.fixture(autouse=True)
def library(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Sentences))


def test_texts_become_float32_vectors():
    vectors = load_encoder("any")(("a b", "abc"))
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[3, 2], [3, 1]]


def test_a_model_that_is_not_there_is_one_line():
    with pytest.raises(ModelError, match=r"encoder 'nothing': no such model \(") as caught:
        load_encoder("nothing")
    assert "\n" not in caught.value.message
