from __future__ import annotations

import pytest

from spillover.core.errors import ConfigError, DataError, MissingExtra, ModelError, RunError, first_line, missing_extra


def test_exit_codes_say_whose_mistake_it_is():
    assert [kind("x").exit_code for kind in (ConfigError, DataError, ModelError, RunError, MissingExtra)] == [
        2,
        3,
        3,
        3,
        4,
    ]


def test_several_problems_stay_apart_and_the_hint_follows():
    error = ConfigError(["one", "two\nlines"], hint="give one")
    assert error.problems == ["one", "two\nlines"]
    assert str(error) == "one\ntwo\nlines (give one)"


@pytest.mark.parametrize(
    ("name", "extra"), [("torch.nn", "models"), ("lingua", "audit"), ("datasets", "hub"), ("gguf", "demo")]
)
def test_a_missing_package_names_its_extra(name, extra):
    assert missing_extra(ImportError("no", name=name)).hint == f"pip install 'spillover[{extra}]'"


def test_an_import_that_fails_for_another_reason_is_no_missing_extra():
    assert missing_extra(ImportError("cannot import name", name="json")) is None
    assert missing_extra(ImportError("circular")) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("\n  first \nsecond"), "first"), (KeyError(), "KeyError"), (OSError("x" * 999), "x" * 300)],
)
def test_the_first_line_that_says_something(error, line):
    assert first_line(error) == line
