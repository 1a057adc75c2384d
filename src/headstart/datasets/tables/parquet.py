"""Parquet tables, with the images inside if the file has them, as on the Hugging Face Hub."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from headstart.datasets.tables.column_names import is_image_name
from headstart.datasets.tables.table import Table
from headstart.errors import DataError, MissingExtraError
from headstart.images.formats import HEAD_BYTES, image_format

_BATCH: Final = 64  # images in memory


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; columns are read when they are asked for.

    Raises:
        DataError: The file is damaged.
        MissingExtraError: The extra `tables` is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("Reading Parquet tables", extra="tables") from error
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error

    @cache
    def read(index: int) -> Sequence[Any]:
        try:
            values: list[Any] = file.read(columns=[schema.names[index]]).column(0).to_pylist()
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}") from error
        return values

    return Table(
        path=path,
        columns=tuple(schema.names),
        rows=[f"row {number}" for number in range(1, file.metadata.num_rows + 1)],
        read=read,
        embedded=tuple(one.name for one in schema if _holds_images(file, one)),
        class_names=_class_names(schema.metadata or {}),
    )


def embedded_images(path: Path, column: str) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield the encoded image and the stored path of each row; either may be missing.

    Raises:
        DataError: The file is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        for batch in parquet.ParquetFile(path).iter_batches(_BATCH, columns=[column]):
            for cell in batch.column(0).to_pylist():
                if isinstance(cell, dict):
                    yield cell.get("bytes"), cell.get("path")
                else:
                    yield cell, None
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error


def _holds_images(file: Any, field: Any) -> bool:
    """Whether a column is the Hub's struct of bytes and path, or binary with an image in it."""
    from pyarrow import types

    def binary(kind: Any) -> Any:
        return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)

    if types.is_struct(field.type):
        return any(one.name == "bytes" and binary(one.type) for one in field.type)
    if not binary(field.type):
        return False
    batches = file.iter_batches(_BATCH, columns=[field.name])
    cells = (cell for batch in batches for cell in batch.column(0).to_pylist())
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
