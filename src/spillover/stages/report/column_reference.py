"""What each column of a run's tables holds, from the lists that their writers declare: the headings of the page say it,
and docs/tables.md is generated from it."""

from __future__ import annotations

from collections.abc import Mapping

from spillover.core.tables import Column
from spillover.stages.alternatives import result_files as alternatives_files
from spillover.stages.compare import alignment_changes, comparison_files, flip_analysis
from spillover.stages.probe import alignment_tables, language_identity, lens_columns, neurons, pca

COMPARE, ALTERNATIVES, PROBE = "compare", "alternatives", "probe/<model>"
WRITTEN_TABLES: Mapping[str, tuple[Column, ...]] = {
    **{f"{COMPARE}/{name}": columns for name, columns in comparison_files.TABLES.items()},
    f"{COMPARE}/items": flip_analysis.ITEM_COLUMNS + flip_analysis.LENS_COLUMNS,
    f"{COMPARE}/questions": flip_analysis.QUESTION_COLUMNS,
    f"{COMPARE}/alignment_changes": alignment_changes.CHANGE_COLUMNS,
    **{f"{ALTERNATIVES}/{name}": columns for name, columns in alternatives_files.TABLES.items()},
    f"{PROBE}/lens": lens_columns.LENS_COLUMNS,
    f"{PROBE}/lens_layers": lens_columns.LAYER_COLUMNS,
    f"{PROBE}/lens_items": lens_columns.ITEM_COLUMNS,
    f"{PROBE}/pca": pca.PCA_COLUMNS,
    f"{PROBE}/pca_pairs": pca.PAIR_COLUMNS,
    f"{PROBE}/alignment": alignment_tables.ALIGNMENT_COLUMNS,
    f"{PROBE}/alignment_items": alignment_tables.ITEM_COLUMNS,
    f"{PROBE}/identity": language_identity.IDENTITY_COLUMNS,
    f"{PROBE}/neurons": neurons.NEURON_COLUMNS,
}
"""The declared columns of each parquet file, by its path in the run folder without the suffix."""


def column_text(table: str, name: str) -> str:
    """What a column holds, as in "mean change (share, -2 to 2)". table: a key of `WRITTEN_TABLES`. KeyError for a table
    or column that nobody declares."""
    column = {column.name: column for column in WRITTEN_TABLES[table]}[name]
    facts = ", ".join(filter(None, (column.unit, column.range)))
    return f"{column.description} ({facts})" if facts else column.description


def columns_page() -> str:
    """docs/tables.md: every column of every table."""
    lines = [
        "# Tables of a run",
        "",
        "Each is a parquet file in the run folder: `pandas.read_parquet`. Undefined numbers are NaN.",
        "This page is generated: `columns_page()` of spillover.stages.report.column_reference.",
    ]
    for path, columns in WRITTEN_TABLES.items():
        lines += ["", f"## {path}.parquet", "", "| column | holds | unit | range |", "|---|---|---|---|"]
        for column in columns:
            cells = (f"`{column.name}`", column.description, column.unit, column.range)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
