"""Tables with one row per image: CSV, TSV, JSON Lines, Parquet."""

from headstart.datasets.tables.labeled_table import TABLE_ENDINGS, is_table, open_table, open_tables
from headstart.datasets.tables.table_options import TableOptions

__all__ = ["TABLE_ENDINGS", "TableOptions", "is_table", "open_table", "open_tables"]
