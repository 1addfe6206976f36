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
    fields = {name: repair_text(text) for name, text in row.fields.items()}
    return replace(row, fields=fields, choices=tuple(map(repair_text, row.choices)))


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


@dataclass(frozen=True)
class ReorderChoices:
    """Choices put into the order of the other languages. orders: by example id, for each place the place from which its
    choice is taken. with_label: ids of the rows whose label goes with its choice; the others keep theirs."""

    orders: Mapping[str, Sequence[int]]
    with_label: Collection[str]

    def apply(self, rows: Sequence[Example]) -> list[Example]:
        """The rows with their choices reordered."""
        return [self._reordered(row) if row.id in self.orders else row for row in rows]

    def _reordered(self, row: Example) -> Example:
        order = self.orders[row.id]
        label = row.label
        if label is not None and row.id in self.with_label:
            label = str(list(order).index(int(label)))
        return replace(row, choices=tuple(row.choices[i] for i in order), label=label)
