"""The repairs that are certain, as data: a finding carries one, and `--fix` applies it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from spillover.core.types import Example
from spillover.stages.audit.encoding import repair_text


@dataclass(frozen=True)
class RenameLabels:
    """Labels renamed in every row: what is written → what it means."""

    meanings: Mapping[str, str]

    def apply(self, rows: Sequence[Example]) -> list[Example]:
        """The rows with their labels renamed; other labels as they are."""
        return [replace(row, label=self.meanings.get(row.label or "", row.label)) for row in rows]


@dataclass(frozen=True)
class SetLabels:
    """The right label of single rows, by example id."""

    labels: Mapping[str, str]

    def apply(self, rows: Sequence[Example]) -> list[Example]:
        """The rows with these labels."""
        return [row if row.label is None else replace(row, label=self.labels.get(row.id, row.label)) for row in rows]


@dataclass(frozen=True)
class RestoreText:
    """Mojibake decoded and escapes removed, in these rows."""

    example_ids: Collection[str]

    def apply(self, rows: Sequence[Example]) -> list[Example]:
        """The rows with their texts restored."""
        return [_restored(row) if row.id in self.example_ids else row for row in rows]


def _restored(row: Example) -> Example:
    return replace(row, fields={name: repair_text(text) for name, text in row.fields.items()})


@dataclass(frozen=True)
class DropCopies:
    """Identical rows with these ids, of which the first is kept."""

    example_ids: Collection[str]

    def apply(self, rows: Sequence[Example]) -> list[Example | None]:
        """The rows, with None for every copy."""
        seen: set[str] = set()
        kept: list[Example | None] = []
        for row in rows:
            kept.append(None if row.id in self.example_ids and row.id in seen else row)
            seen.add(row.id)
        return kept


@dataclass(frozen=True)
class ExchangeFields:
    """Two fields exchanged back with each other, in these rows."""

    example_ids: Collection[str]
    first: str
    second: str

    def apply(self, rows: Sequence[Example]) -> list[Example]:
        """The rows with these fields exchanged."""
        return [self._exchanged(row) if row.id in self.example_ids else row for row in rows]

    def _exchanged(self, row: Example) -> Example:
        first, second = row.fields[self.first], row.fields[self.second]
        return replace(row, fields={**row.fields, self.first: second, self.second: first})
