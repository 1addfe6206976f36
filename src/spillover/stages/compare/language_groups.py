"""Groups of languages over which a change is averaged: which languages, and what kind of group it is.

all        every language
training   seen (trained on), from the run's pairs, and unseen: neither seen nor the reference language
reference  the language that the bundled tasks were written in, and that questions are translated into
script, family   from languages.yaml; own   the user's lists, `compare.groups`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillover.core.errors import ConfigError
from spillover.core.languages import language, reference_language


@dataclass(frozen=True)
class Group:
    """A named set of languages, in their order."""

    name: str
    kind: str
    languages: tuple[str, ...]


def group_title(row: Mapping[Any, Any]) -> str:
    """What a table calls the group of a row with `group` and `kind`: its name, and the reference by its language's."""
    return language(reference_language()).name if row["kind"] == "reference" else str(row["group"])


def groups_of(
    languages: Sequence[str], seen: Sequence[str] = (), own: Mapping[str, Sequence[str]] | None = None
) -> list[Group]:
    """All groups that have a language; scripts and families only where they hold two or more, and not all of them.

    ConfigError when a list of the user's names a language that is not compared, or takes a name that is taken.
    """
    found = [Group("all", "all", tuple(languages))]
    reference = reference_language()
    if seen:
        found.append(Group("seen", "training", tuple(code for code in languages if code in seen)))
        unseen = tuple(code for code in languages if code not in seen and code != reference)
        found.append(Group("unseen", "training", unseen))
    found.append(Group("reference", "reference", tuple(code for code in languages if code == reference)))
    known = [language(code) for code in languages]
    for kind in ("script", "family"):
        for value in dict.fromkeys(getattr(row, kind) for row in known):
            codes = tuple(row.code for row in known if getattr(row, kind) == value)
            if value and 1 < len(codes) < len(languages):
                found.append(Group(f"{kind} {value}", kind, codes))
    return [group for group in found if group.languages] + _own(languages, own or {}, {group.name for group in found})


def _own(languages: Sequence[str], own: Mapping[str, Sequence[str]], taken: set[str]) -> list[Group]:
    problems = []
    for name, codes in own.items():
        absent = [code for code in codes if code not in languages]
        if absent:
            problems.append(f"compare.groups.{name}: {', '.join(absent)} is not compared")
        if name in taken or not codes:
            problems.append(f"compare.groups.{name}: {'no languages' if not codes else 'the name is taken'}")
    if problems:
        raise ConfigError(problems, hint=f"choose from {' '.join(languages)}")
    return [Group(name, "own", tuple(code for code in languages if code in codes)) for name, codes in own.items()]
