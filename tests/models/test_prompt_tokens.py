"""Prompt tokens add up; what no server tells is not zero."""

from __future__ import annotations

import pytest

from spillover.models.prompt_tokens import PromptTokens


@pytest.mark.parametrize(("one", "other", "cached"), [(None, None, None), (3, None, 3), (None, 0, 0), (3, 2, 5)])
def test_cached_tokens_are_those_that_are_known(one, other, cached):
    assert PromptTokens(7, one) + PromptTokens(2, other) == PromptTokens(9, cached)
