"""Safe unpacking of zip and tar files from untrusted sources.

Only regular files whose names stay inside the archive are written, and this module writes them
itself: links, devices, permissions and owners are never applied. The total size, the number of
members of any kind, and the memory for their headers are limited. Members that are not written are
reported as skipped.
"""

import errno
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from headstart.datasets.archive_members import (
    MOST_MEMBERS,
    Allowance,
    Member,
    MemberError,
    ReadError,
    target,
    too_many_members,
)
from headstart.datasets.tar_members import tar_members
from headstart.datasets.zip_members import zip_members
from headstart.errors import DataError
from headstart.system.cache_folder import cache_errors
from headstart.system.text import shortened
from headstart.types import Skipped

_DECODE_ERRORS: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(UnicodeDecodeError, NotImplementedError, struct.error),
)
# Archives of images stay within these limits, and decompression bombs exceed them. Images are
# already compressed: even blank bitmaps rarely shrink a hundredfold.
_MOST_BYTES: Final = 64 * 1024**3  # or twice the size of the archive
_RATIO: Final = 200  # largest ratio of unpacked size to archive size
_FREE: Final = 256 * 1024**2  # bytes that may be unpacked at any ratio
_LISTED: Final = 10_000  # members that were not unpacked, by name
ARCHIVE_ENDINGS: Final = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
)
UNSUPPORTED_ENDINGS: Final = (
    *(".7z", ".rar", ".tar.zst", ".tzst", ".tar.lz", ".tar.lz4", ".tar.z", ".zipx"),
    *(".zip.001", ".7z.001", ".tar.001", ".tar.gz.001", ".z01", ".r00"),
)
"""Extensions of archives that can be recognized, but not read."""
_UNSUPPORTED: Final = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4"),
    (b"LZIP", "compressed with lzip"),
    (b"\x1f\x9d", "compressed with compress"),
    (b"PK\x07\x08", "one part of several"),
)
_PART: Final = re.compile(r".*\.(\d{3}|[zr]\d{2}|part\d+\.rar)", re.IGNORECASE)
_ZIP_END_MARK: Final = b"PK\x05\x06"
_ZIP_END: Final = struct.Struct("<4xH14xH")  # the number of the part, the length of the comment
_ZIP_TAIL: Final = _ZIP_END.size + 65_535  # bytes of the longest end of a zip file
_REPLACED: Final = "an earlier entry of this name, which the last one replaces"
_BAD_NAME: Final = "file name not allowed on this system"
_LONGEST_NAME: Final = 500  # characters of a name that are shown


def is_archive(path: Path) -> bool:
    """Whether a file has the extension of an archive, supported or not."""
    return path.name.lower().endswith((*ARCHIVE_ENDINGS, *UNSUPPORTED_ENDINGS))


def unpack(path: Path, into: Path) -> tuple[Skipped, ...]:
    """Write the regular files of an archive to a folder; return the skipped members with reasons.

    Args:
        path: a zip or tar file, recognized by its content.
        into: an existing folder.

    Raises:
        DataError: the archive is encrypted, truncated, damaged, not an archive, unreadable, or
            exceeds the limits.
        StoreError: the folder cannot be written.
    """
    refused: list[Skipped] = []
    more: Counter[str] = Counter()
    try:
        allowed = _allowed(path.stat().st_size)
        written, decompressed = Allowance(path, allowed), Allowance(path, allowed)
        for count, member in enumerate(_members(path, into, decompressed), start=1):
            if count > MOST_MEMBERS:
                raise too_many_members(path)
            reason = member.refused
            if member.content and reason is None:
                try:
                    if _write(member, into, written):
                        reason = _REPLACED
                except MemberError as refusal:
                    reason = str(refusal)
            if reason is None:
                continue
            if len(refused) < _LISTED:
                name = shortened(member.name, _LONGEST_NAME)
                name = name.encode("utf-8", "backslashreplace").decode()  # it may be any bytes
                refused.append(Skipped(name, reason))
            else:
                more[reason] += 1
    except (*_DECODE_ERRORS, OSError, ReadError) as caught:
        error = caught.__cause__ if isinstance(caught, ReadError) else caught
        # Decompressors also raise plain OSErrors, but without an error number.
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        detail = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise DataError(
            f"{path} is truncated, damaged or not an archive ({detail}); get a new copy"
        ) from error
    return (*refused, *(Skipped(f"and {count:,} more", reason) for reason, count in more.items()))


def _members(path: Path, into: Path, allowance: Allowance) -> Iterator[Member]:
    return zip_members(path) if _is_zip(path) else tar_members(path, into, allowance)


def check_supported(path: Path) -> None:
    """Check that an archive is of a kind that can be read, by its name and its first bytes.

    Raises:
        DataError: it is not, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, path.stat().st_size - _ZIP_TAIL))
            end = file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    found = next((what for start, what in _UNSUPPORTED if head.startswith(start)), None)
    if _PART.fullmatch(path.name) or (head[:2] == b"PK" and _is_last_part(end)):
        found = "one part of several"
    if found is None and path.name.lower().endswith(UNSUPPORTED_ENDINGS):
        found = f"a {path.suffix} archive"
    if found is not None:
        raise DataError(
            f"{path} is {found}, which is not supported; unpack it yourself and give the folder, "
            "or pack it as ZIP"
        )


def _is_last_part(tail: bytes) -> bool:
    """Whether a zip file with this end is the last of several, by the number in its end record."""
    start = tail.rfind(_ZIP_END_MARK)
    record = tail[start:] if start >= 0 else b""
    if len(record) < _ZIP_END.size:
        return False
    part, comment_bytes = _ZIP_END.unpack_from(record)
    # Compressed data may contain the mark by chance; only a record ends where the file does.
    return len(record) == _ZIP_END.size + comment_bytes and part not in (0, 0xFFFF)


def _allowed(archive_bytes: int) -> int:
    """Return how many bytes an archive of this size may unpack to."""
    return max(_FREE, min(_MOST_BYTES, _RATIO * archive_bytes), 2 * archive_bytes)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        # Not zipfile.is_zipfile, which also accepts a tar file that ends with a zip file.
        return file.read(2) == b"PK"


def _write(member: Member, into: Path, written: Allowance) -> bool:
    """Copy one member, whose size in the archive is not trusted.

    Returns:
        Whether it replaces an earlier one of the same name.

    Raises:
        DataError: More was written than is allowed.
        MemberError: It cannot be unpacked.
    """
    assert member.content is not None
    path = target(into, member.name)
    with cache_errors(into):
        try:
            replaces = path.is_file()
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("wb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError, ValueError) as error:
            raise MemberError(_BAD_NAME) from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise MemberError(_BAD_NAME) from error
            raise
        try:
            with file, closing(member.content()) as content:
                for chunk in content:
                    written.spend(len(chunk))
                    file.write(chunk)
        except MemberError:
            path.unlink()  # a partial image must not be used as an image
            raise
    return replaces
