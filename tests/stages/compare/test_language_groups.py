"""Groups of languages: from the training pairs, scripts, families and the user's lists."""

from __future__ import annotations

import pytest

from spillover.core.errors import ConfigError
from spillover.stages.compare.language_groups import Group, groups_of


def test_groups_come_from_what_was_trained_on():
    found = {group.name: group.languages for group in groups_of(("en", "de", "fr"), ["de"])}
    assert found.pop("family Germanic") == ("en", "de")
    assert found == {"all": ("en", "de", "fr"), "seen": ("de",), "unseen": ("fr",), "reference": ("en",)}
    assert "seen" not in {group.name for group in groups_of(("en", "de"), [])}


def test_groups_by_script_family_and_the_users_own():
    codes = ("en", "de", "ru", "bg", "hi", "bn")
    found = groups_of(codes, user_groups={"far": ["hi", "bn"]})
    assert Group("script Cyrl", "script", ("ru", "bg")) in found
    assert Group("family Indo-Aryan", "family", ("hi", "bn")) in found
    assert found[-1] == Group("far", "own", ("hi", "bn"))
    with pytest.raises(ConfigError, match=r"compare\.groups\.far: th is not compared"):
        groups_of(codes, user_groups={"far": ["th"]})
    with pytest.raises(ConfigError, match="the name is taken"):
        groups_of(codes, user_groups={"all": ["hi"]})
