"""Languages are data: `languages.yaml` gives script and family, `langcodes` gives the names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from spillover.core.errors import ConfigError
from spillover.core.file_names import name_problem
from spillover.core.files import read_yaml, resources
from spillover.core.types import Language

# CLDR's distance of two codes for one language in one script (`zh-CN` and `zh`, `nb` and `no`); regions are 4 apart.
SAME_LANGUAGE = 1
UNKNOWN_LANGUAGE = "und"  # BCP-47's code of "undetermined"


@cache
def _table() -> dict[str, dict[str, str]]:
    return dict(read_yaml(resources() / "languages.yaml")["languages"])


@cache
def reference_language() -> str:
    """The language the bundled tasks were written in, and the default target of question translation."""
    return str(read_yaml(resources() / "languages.yaml")["reference"])


@cache
def high_resource_languages() -> tuple[str, ...]:
    """Codes of the languages of which models have read most, in the order in which mixed shots take them."""
    return tuple(read_yaml(resources() / "languages.yaml")["high_resource"])


@cache
def unrelated_sentences() -> dict[str, list[str]]:
    """Parallel sentences by language that belong to no task."""
    return dict(read_yaml(resources() / "unrelated_sentences.yaml")["sentences"])


def known_languages() -> tuple[str, ...]:
    """Codes of the bundled languages, in the paper's order."""
    return tuple(_table())


@cache
def language(code: str) -> Language:
    """The language of a BCP-47 code, bundled or not. ConfigError when the code names no language."""
    import langcodes

    row = _table().get(code, {})
    try:
        tag = langcodes.Language.get(code)
        valid = tag.is_valid()
    except langcodes.LanguageTagError:
        valid = False
    if not valid:
        raise ConfigError(
            f"language {code!r} is not a BCP-47 code",
            hint=f"bundled: {' '.join(known_languages())}; `spillover ls languages` shows their names",
        )
    if problem := name_problem(code):
        raise ConfigError(f"language {code!r} {problem}", hint=f"add its script, as in {code[:8]}-Latn")
    script = row.get("script") or tag.maximize().script or ""
    return Language(code, tag.display_name(), tag.autonym(), script, row.get("family", ""))


def script_name(code: str) -> str:
    """The English name of an ISO 15924 script, "Latin" of `Latn`; the code itself where it has none."""
    import langcodes

    name = langcodes.Language.make(script=code).script_name() if code else ""
    return code if name.startswith("Unknown") else name


def select_languages(
    wanted: str | Sequence[str], available: Iterable[str], *, seen: Iterable[str] = (), where: str = "languages"
) -> tuple[str, ...]:
    """`wanted` as codes in the order of `available`: "all", "seen", "unseen", "zh,de" or a list of these.

    ConfigError names a code that is no language, or that `available` lacks.
    """
    available, seen = list(available), set(seen)
    if not available:
        raise ConfigError(f"{where}: no languages found", hint="another task, or other data")
    words = wanted.replace(",", " ").split() if isinstance(wanted, str) else list(wanted)
    groups = {
        "all": available,
        "seen": [code for code in available if code in seen],
        "unseen": [code for code in available if code not in seen],
    }
    chosen: set[str] = set()
    for word in words:
        if word not in groups and word not in available:
            language(word)
            raise ConfigError(
                f"{where}: {word!r} is not available", hint=f"choose from {' '.join(available)}, all, seen or unseen"
            )
        chosen.update(groups.get(word, [word]))
    if not chosen:
        raise ConfigError(f"{where}: {wanted!r} names no language", hint=f"choose from {' '.join(available)}")
    return tuple(code for code in available if code in chosen)


def code_of(name: str, others: Iterable[str] = ()) -> str | None:
    """The BCP-47 code that a file is named after, in whatever spelling: `deu_Latn`, `ES`, `zh-CN`, `nb`. None when the
    name is no code.

    A bundled language, or one of `others`, where the name means the same language in the same script; else the standard
    form of the name."""
    import langcodes

    known = [*others, *known_languages()]
    if name in known:
        return name
    try:
        tag = langcodes.standardize_tag(name.replace("_", "-"), macro=True)
    except langcodes.LanguageTagError:
        return None
    if not langcodes.Language.get(tag).is_valid():
        return None
    same = [code for code in known if langcodes.tag_distance(tag, code) <= SAME_LANGUAGE]
    return same[0] if same else tag


def in_order(codes: Iterable[str]) -> list[str]:
    """Codes in the order of the bundled languages, then by code."""
    known = known_languages()
    return sorted(codes, key=lambda code: (known.index(code) if code in known else len(known), code))


@cache
def ends_with_full_stop(code: str) -> bool:
    """Whether a text in this language usually ends with a full stop or the like."""
    return language(code).script not in read_yaml(resources() / "languages.yaml")["without_full_stop"]


@cache
def letter_names(code: str) -> frozenset[str]:
    """First words of the Unicode names of this language's letters (LATIN, CYRILLIC, ...); empty when not known."""
    import langcodes

    script = language(code).script
    other = read_yaml(resources() / "languages.yaml")["letters"]
    if script in other:
        return frozenset(other[script])
    name = langcodes.Language.make(script=script).script_name() if script else ""
    return frozenset([name.upper().split()[0]] if name else [])
