"""Tables with one row per image: CSV, TSV, JSON Lines, Parquet."""

from headstart.datasets.tables.column_names import are_predictions
from headstart.datasets.tables.labeled_table import open_table
from headstart.datasets.tables.table_file import TABLE_ENDINGS, is_table, may_be_table, unsupported
from headstart.datasets.tables.table_options import NO_OPTIONS, TableOptions

__all__ = [
    "NO_OPTIONS",
    "TABLE_ENDINGS",
    "TableOptions",
    "are_predictions",
    "is_table",
    "may_be_table",
    "open_table",
    "unsupported",
]
