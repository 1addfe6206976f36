from __future__ import annotations

import numpy as np
import pytest

from spillover.core.errors import missing_extra
from spillover.models.encoder import load_encoder
from spillover.stages.audit.retrieval_check import nearest_items
from tests.builders import small_data
from tests.stages.audit.builders import audit_folder, language_rows


def test_the_nearest_reference_item_is_another_one():
    english = ["first", "second", "third", "third"]
    vectors = {"first": [1, 0], "second": [0, 1], "third": [1, 1], "eins": [1, 0.1], "zwei": [1, 0], "drei": [1, 1]}

    def encode(texts):
        return np.array([vectors[text] for text in texts], dtype=np.float32)

    (fault,) = nearest_items(language_rows("de", ["eins", "zwei", "drei", "drei"], english, encode=encode))
    assert fault.evidence["nearest"] == {"1": "0"}


def test_an_encoder_that_is_not_installed_is_reported(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError) as caught:
        load_encoder("any")
    assert "spillover[encoder]" in missing_extra(caught.value).hint


def test_the_encoder_is_asked_for_every_language(tmp_path):
    encoded = []

    def encode(texts):
        encoded.extend(texts)
        return np.ones((len(texts), 2), dtype=np.float32)

    audit_folder(small_data(tmp_path, ("en", "de")), encode=encode)
    assert "review 0 in de" in encoded
