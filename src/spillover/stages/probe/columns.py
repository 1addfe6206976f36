"""Columns that several of the probe's tables share."""

from __future__ import annotations

from spillover.core.tables import Column

SHARE = "0 to 1"
LANGUAGE = Column("language", "language code")
OTHER = Column("other", "code of the language it is compared with")
EXAMPLE_ID = Column("example_id", "id of the item")
POOLING = Column("pooling", "how token states are pooled to one state per item", range="last, mean, all, weighted")
LAYER = Column("layer", "layer of the residual stream; 0 is the embedding", range="0 up")
ITEMS = Column("n", "number of items", unit="items", range="1 up")
CLEARS = Column("clears", "whether the value exceeds the limit of every null available (residuals: falls below it)")
REASON = Column("reason", 'why values are undefined (NaN); "" where they are defined')


def with_interval(column: Column) -> tuple[Column, ...]:
    """The column and the bounds of its 95 % bootstrap interval over items."""
    return (
        column,
        Column(f"{column.name}_low", f"{column.name}: lower bound of its interval", column.unit, column.range),
        Column(f"{column.name}_high", f"{column.name}: upper bound of its interval", column.unit, column.range),
    )


def null_columns(name: str, description: str) -> tuple[Column, ...]:
    """A null's mean, the limit that a value must pass, and the share of the value that the null explains."""
    return (
        Column(name, f"the measure under the null: {description}"),
        Column(f"{name}_limit", f"{name}: 95th percentile of the null (5th for a residual)"),
        Column(f"{name}_share", f"{name}: share of the value that the null explains", range=SHARE),
    )
