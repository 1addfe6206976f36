"""The checks of admission that need no server; those that do are in test_server.py, one for each fault."""

from __future__ import annotations

import pytest

from spillover.core.errors import ModelError
from spillover.models.server_admission import SPREAD, _spread_tokens, agree, tolerance


class Client:
    url = "http://here:8000"


def test_what_is_allowed_depends_on_the_stated_precision():
    assert tolerance("float32") < 0.01 < tolerance("bfloat16") == tolerance("as served")


def test_two_ways_to_read_must_agree():
    agree(Client(), "en i1", [-1.0, -2.0], [-1.0005, -2.0], 1e-3)
    with pytest.raises(ModelError, match=r"http://here:8000: en i1: .* differ by 0\.5"):
        agree(Client(), "en i1", [-1.0, -2.0], [-1.5, -2.0], 1e-3)
    with pytest.raises(ModelError, match="differ by nan"):
        agree(Client(), "en i1", [float("nan")], [-1.0], 1e-3)


def test_the_tokens_that_are_asked_for_are_from_all_over_the_vocabulary(tiny):
    tokens = _spread_tokens(tiny.tokenizer)
    assert len(tokens) == SPREAD
    assert tokens[0] == 0
    assert tokens[-1] > 0.9 * len(tiny.tokenizer)
