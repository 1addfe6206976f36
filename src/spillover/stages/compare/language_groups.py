"""Groups of languages over which a change is averaged: which languages, and what kind of group it is.

all        every language
training   seen (trained on), from the run's pairs, and unseen: neither seen nor the reference language
reference  the language that the bundled tasks were written in, and that questions are translated into
script, family   from languages.yaml
own        the user's lists, `compare.groups`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spillover.core.errors import ConfigError
from spillover.core.languages import language, reference_language


@dataclass(frozen=True)
class Group:
    """A named set of languages, in their order."""

    name: str
    kind: str
    languages: tuple[str, ...]


def group_title(name: str, kind: str) -> str:
    """The title of a group in tables: its name, and the reference language's own name for the reference group."""
    return language(reference_language()).name if kind == "reference" else name


def groups_of(
    languages: Sequence[str], seen: Sequence[str] = (), user_groups: Mapping[str, Sequence[str]] | None = None
) -> list[Group]:
    """All groups with at least one language; scripts and families only with two or more languages, but not all.

    ConfigError when a list of the user's names a language that is not compared, or takes the name of another group.
    """
    groups = [Group("all", "all", tuple(languages))]
    reference = reference_language()
    if seen:
        groups.append(Group("seen", "training", tuple(code for code in languages if code in seen)))
        unseen = tuple(code for code in languages if code not in seen and code != reference)
        groups.append(Group("unseen", "training", unseen))
    groups.append(Group("reference", "reference", tuple(code for code in languages if code == reference)))
    known = [language(code) for code in languages]
    for kind in ("script", "family"):
        for value in dict.fromkeys(getattr(row, kind) for row in known):
            codes = tuple(row.code for row in known if getattr(row, kind) == value)
            if value and 1 < len(codes) < len(languages):
                groups.append(Group(f"{kind} {value}", kind, codes))
    user = _user_groups(languages, user_groups or {}, groups)
    return [group for group in groups if group.languages] + user


def _user_groups(
    languages: Sequence[str], user_groups: Mapping[str, Sequence[str]], groups: Sequence[Group]
) -> list[Group]:
    problems = []
    for name, codes in user_groups.items():
        missing = [code for code in codes if code not in languages]
        if missing:
            problems.append(f"compare.groups.{name}: {', '.join(missing)} is not compared")
        if not codes:
            problems.append(f"compare.groups.{name}: no languages")
        elif name in {group.name for group in groups}:
            problems.append(f"compare.groups.{name}: the name is taken")
    if problems:
        raise ConfigError(problems, hint=f"choose from {' '.join(languages)}")
    return [
        Group(name, "own", tuple(code for code in languages if code in codes)) for name, codes in user_groups.items()
    ]
