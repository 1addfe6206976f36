"""Public names of a package that load their module when they are first used."""

from __future__ import annotations

import pytest

from spillover.core.errors import MissingExtra
from spillover.core.lazy import lazy_names


def test_a_name_is_resolved_and_an_unknown_one_is_no_attribute():
    resolve = lazy_names("package", {"sqrt": "math"})
    assert resolve("sqrt")(9) == 3
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'cbrt'"):
        resolve("cbrt")


def test_a_package_of_an_extra_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(MissingExtra, match="gguf"):
        lazy_names("package", {"GGUFReader": "gguf"})("GGUFReader")
