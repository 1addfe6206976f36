"""Groups of languages over which a change is averaged."""

from __future__ import annotations

from collections.abc import Sequence


def groups_of(languages: Sequence[str], seen: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """all, and where any are: seen (trained on) and unseen. Each group's languages in their order."""
    groups = {
        "all": tuple(languages),
        "seen": tuple(code for code in languages if code in seen),
        "unseen": tuple(code for code in languages if code not in seen),
    }
    return {name: codes for name, codes in groups.items() if codes and (name == "all" or seen)}
