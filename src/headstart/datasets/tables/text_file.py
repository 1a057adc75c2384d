"""The text of a table, from the encodings that spreadsheets write."""

import codecs
from pathlib import Path
from typing import Final

from headstart.datasets.tables.table_limits import MOST_BYTES, check_bytes
from headstart.errors import DataError
from headstart.system.files import open_regular

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),  # Excel's "Unicode text"
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD: Final = 1000  # bytes that tell UTF-16
_OTHER_FILES: Final = (
    (b"PK\x03\x04", "an Excel workbook or a zip file; save it as 'CSV UTF-8', or rename it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as 'CSV UTF-8'"),
    (b"\x1f\x8b", "a gzip file; unpack it with gunzip"),
    (b"PAR1", "a Parquet file; rename it to end in .parquet"),
    (b"version https://git-lfs", "a pointer to a file of Git LFS; get it with 'git lfs pull'"),
    (b"<!DOCTYPE", "a web page; download the table itself"),
    (b"<html", "a web page; download the table itself"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises:
        DataError: The file cannot be read, is too large, or is none of these.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    for signature, what in _OTHER_FILES:
        if data.startswith(signature):
            raise DataError(f"{path} is not a text file but {what}")
    check_bytes(path, data)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and data.count(0, 0, _HEAD) > len(data[:_HEAD]) // 4:
        raise DataError(
            f"{path} has many zero bytes, as UTF-16 without a byte order mark does; save it as "
            "'CSV UTF-8'"
        )
    try:
        return data.decode(encoding).lstrip("\ufeff")  # some programs write it twice
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}, line {line}); if it is in another "
            "encoding, such as Latin-1 or Windows-1252, save it as 'CSV UTF-8'"
        ) from error
