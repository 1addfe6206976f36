from __future__ import annotations

import pytest

from spillover.core.errors import ConfigError
from spillover.core.languages import known_languages, language, script_name, select_languages


def test_every_bundled_language_has_a_name_a_script_and_a_family():
    assert len(known_languages()) == 20
    for code in known_languages():
        row = language(code)
        assert all((row.name, row.endonym, row.script, row.family)), row


def test_a_language_that_is_not_bundled_has_a_name_and_a_script():
    assert (language("sr").name, language("sr").script) == ("Serbian", "Cyrl")


@pytest.mark.parametrize("code", ["english", "xx-yy-zz", "", "e n"])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(ConfigError, match="is not a BCP-47 code"):
        language(code)


@pytest.mark.parametrize(("code", "name"), [("Latn", "Latin"), ("Deva", "Devanagari"), ("Xyzw", "Xyzw"), ("", "")])
def test_a_script_has_a_name(code, name):
    assert script_name(code) == name


def test_groups_and_codes_keep_the_order_of_what_is_there():
    there = ("en", "de", "es")
    assert select_languages("es,en", there) == ("en", "es")
    assert select_languages("all", there) == there
    assert select_languages("seen", there, seen=["de"]) == ("de",)
    assert select_languages(["unseen"], there, seen=["de"]) == ("en", "es")


@pytest.mark.parametrize("wanted", ["fr", "english", "", "en,,qq"])
def test_what_is_not_there_is_named(wanted):
    with pytest.raises(ConfigError):
        select_languages(wanted, ("en", "de"))
