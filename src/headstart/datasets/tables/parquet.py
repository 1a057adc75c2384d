"""Parquet tables, with the images inside if the file has them, as on the Hugging Face Hub."""

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from headstart.datasets.tables.arrow_values import array_values, scalar_value
from headstart.datasets.tables.column_names import is_image_name
from headstart.datasets.tables.table import Table
from headstart.datasets.tables.table_limits import (
    MOST_BYTES,
    MOST_CELLS,
    MOST_COLUMNS,
    MOST_ROWS,
    check_count,
)
from headstart.errors import DataError, MissingExtraError
from headstart.images.formats import HEAD_BYTES, image_format
from headstart.system.files import open_regular

_BATCH: Final = 64  # images in memory
_ROWS: Final = 10_000  # of a column that are read at once
_LARGEST_GROUP: Final = 300_000_000
"""Bytes of a column in a group of rows, decompressed; pyarrow takes five times as many, if they are
one value or differ."""
_BUFFER: Final = 1 << 20  # bytes of the file; without, pyarrow reads a whole group of a column
_LARGEST_FOOTER: Final = 32_000_000  # bytes of the description of the columns
_END: Final = struct.Struct("<I4s")  # the length of the description, and a mark


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; columns are read when they are asked for.

    Raises:
        DataError: The file is damaged, or too large.
        MissingExtraError: The extra `tables` is not installed.
    """
    with _errors(path):
        metadata, schema = _description(path)
        names = tuple(schema.names)
        embedded = tuple(one.name for one in schema if _holds_images(path, metadata, one))

    @cache
    def read(index: int) -> Sequence[Any]:
        with _errors(path):
            return _column(path, metadata, names[index])

    count = metadata.num_rows
    return Table(
        path=path,
        columns=names,
        unit="row",
        numbers=range(1, count + 1),
        read=read,
        embedded=embedded,
        class_names=_class_names(schema.metadata or {}),
    )


def embedded_images(path: Path, column: str) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield the encoded image and the stored path of each row; either may be missing.

    Raises:
        DataError: The file is damaged.
    """
    with _errors(path):
        metadata, _ = _description(path)
        for array in _batches(path, metadata, column, _BATCH):
            for scalar in array:  # one image at a time
                cell = scalar_value(scalar)
                if isinstance(cell, dict):
                    yield cell.get("bytes"), cell.get("path")
                else:
                    yield cell, None


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Convert the errors of pyarrow.

    Raises:
        DataError: The file is damaged.
        MissingExtraError: The extra `tables` is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("Reading Parquet tables", extra="tables") from error
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, OverflowError, TypeError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error


def _description(path: Path) -> tuple[Any, Any]:
    """Return the metadata and Arrow's schema of a file, if they and its rows are few enough."""
    from pyarrow import parquet

    with open_regular(path) as start:
        start.seek(max(0, path.stat().st_size - _END.size))
        end = start.read()
    size, mark = _END.unpack(end.rjust(_END.size))
    if mark == b"PAR1" and size > _LARGEST_FOOTER:
        raise DataError(
            f"{path} describes its columns in {size / 1e6:.0f} MB (limit "
            f"{_LARGEST_FOOTER / 1e6:.0f} MB); write it with fewer columns or larger row groups"
        )
    with parquet.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    check_count(path, metadata.num_columns, MOST_COLUMNS, "columns")
    check_count(path, metadata.num_rows, MOST_ROWS, "rows")
    return metadata, schema


def _batches(path: Path, metadata: Any, column: str, size: int) -> Iterator[Any]:
    """Yield the values of a column as Arrow's arrays of at most `size`.

    A text that occurs often is in memory once, if the column is not nested.
    """
    from pyarrow import parquet

    leaves = {
        place: leaf
        for place, leaf in enumerate(metadata.schema)
        if leaf.path == column or leaf.path.startswith(f"{column}.")
    }
    groups = [metadata.row_group(one) for one in range(metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in leaves]
    check_count(path, sum(one.num_values for one in chunks), MOST_CELLS, f"values in '{column}'")
    largest = max((one.total_uncompressed_size for one in chunks), default=0)
    what = f"bytes of '{column}' in one row group"
    check_count(path, largest, _LARGEST_GROUP, what, "write it with smaller row groups")
    flat = [leaf.path for leaf in leaves.values() if leaf.path == column]
    texts = [leaf.path for leaf in leaves.values() if leaf.physical_type == "BYTE_ARRAY"]
    if not flat:  # pyarrow cannot keep nested texts once, so that few may be in memory
        size = max(1, min(size, _LARGEST_GROUP // max(1, largest)))
    with parquet.ParquetFile(
        path,
        metadata=metadata,
        read_dictionary=texts if flat else [],
        buffer_size=_BUFFER,
        pre_buffer=False,
    ) as reader:
        for batch in reader.iter_batches(size, columns=[column]):
            yield batch.column(0)


def _column(path: Path, metadata: Any, name: str) -> list[Any]:
    """Return the N values of a column."""
    values: list[Any] = []
    length = 0
    for array in _batches(path, metadata, name, _ROWS):
        values += array_values(array)
        found = {id(one): len(one) for one in values[-len(array) :] if isinstance(one, str | bytes)}
        length += sum(found.values())
        check_count(path, length, MOST_BYTES, f"bytes in '{name}'")
    return values


def _holds_images(path: Path, metadata: Any, field: Any) -> bool:
    """Whether a column is the Hub's struct of bytes and path, or binary with an image in it."""
    from pyarrow import types

    def binary(kind: Any) -> Any:
        return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)

    if types.is_struct(field.type):
        return any(one.name == "bytes" and binary(one.type) for one in field.type)
    if not binary(field.type):
        return False
    cells = (one.as_py() for array in _batches(path, metadata, field.name, _BATCH) for one in array)
    first = [cell[:HEAD_BYTES] for cell in islice(filter(None, cells), _BATCH)]
    # Of a column with an image's name, the decoder says what is wrong; file names have no zeros.
    named = is_image_name(field.name) and any(b"\0" in cell for cell in first)
    return named or any(image_format(cell) is not None for cell in first)


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the names that the library `datasets` keeps for the numbers of each column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        inner = {name: one.get("feature", one) for name, one in features.items()}
        return {
            name: tuple(one["names"])
            for name, one in inner.items()
            if one.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
