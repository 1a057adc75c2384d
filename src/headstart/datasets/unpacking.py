"""Safe unpacking of zip and tar files from untrusted sources.

Only regular files whose names stay inside the archive are written, and this module writes them
itself: links, devices, permissions and owners are never applied. The total size and the number of
files are limited. Every other member is reported as skipped.
"""

import errno
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from headstart.datasets.image_tree import is_litter
from headstart.errors import DataError
from headstart.system.cache_folder import cache_errors
from headstart.types import Skipped

_DECODE_ERRORS: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(UnicodeDecodeError, NotImplementedError),
)
# Archives of images stay within these limits, and decompression bombs exceed them. Images are
# already compressed: even blank bitmaps rarely shrink a hundredfold.
_MOST_BYTES, _MOST_FILES = 64 * 1024**3, 2_000_000
_RATIO: Final = 200  # largest ratio of unpacked size to archive size
_FREE: Final = 256 * 1024**2  # bytes that may be unpacked at any ratio
_CHUNK: Final = 1 << 20
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
_DOS_FOLDER: Final = 0x10
_UTF8_FLAG: Final = 0x800
_BAD_NAME: Final = "file name not allowed on this system"
_UNSAFE: Final = "unsafe archive member"


@dataclass(frozen=True, slots=True)
class _Member:
    """A file in an archive, with a function that reads it or the reason for skipping it."""

    name: str
    content: Callable[[], Generator[bytes]] | None = None
    refused: str | None = None


class _MemberError(Exception):
    """A member that cannot be unpacked, for the reason in the message; others may be fine."""


class _ReadError(Exception):
    """Wraps an OSError from reading the archive, to tell it from errors of writing."""


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
    files = written = 0
    try:
        allowed = _allowed(path.stat().st_size)
        for member in _zip_members(path) if _is_zip(path) else _tar_members(path):
            reason = member.refused
            if reason is None:
                files += 1
                if files > _MOST_FILES:
                    raise DataError(
                        f"{path} contains more than {_MOST_FILES:,} files; if you trust it, "
                        "unpack it yourself and give the folder"
                    )
                try:
                    written += _write(member, into, allowed - written)
                except _MemberError as refusal:
                    reason = str(refusal)
                if written > allowed:
                    raise DataError(
                        f"{path} unpacks to more than {allowed / 1e6:.0f} MB, as decompression "
                        "bombs do; if you trust it, unpack it yourself and give the folder"
                    )
            if reason is not None:
                # Names may be any bytes; these are shown as in tables of results.
                shown = member.name.encode("utf-8", "backslashreplace").decode()
                refused.append(Skipped(shown, reason))
    except (*_DECODE_ERRORS, OSError, _ReadError) as caught:
        error = caught.__cause__ if isinstance(caught, _ReadError) else caught
        # Decompressors also raise plain OSErrors, but without an error number.
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        detail = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise DataError(
            f"{path} is truncated, damaged or not an archive ({detail}); get a new copy"
        ) from error
    return tuple(refused)


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
    return min(_MOST_BYTES, max(_FREE, _RATIO * archive_bytes))


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        # Not zipfile.is_zipfile, which also accepts a tar file that ends with a zip file.
        return file.read(2) == b"PK"


def _write(member: _Member, into: Path, allowed: int) -> int:
    """Copy one member and return its size, stopping once that exceeds `allowed` bytes.

    The size stated in the archive is not trusted.
    """
    assert member.content is not None
    target = into.joinpath(*PurePosixPath(member.name.replace("\\", "/")).parts)
    count = 0
    with cache_errors(into):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("wb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError, ValueError) as error:
            raise _MemberError(_BAD_NAME) from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise _MemberError(_BAD_NAME) from error
            raise
        try:
            with file, closing(member.content()) as content:
                for chunk in content:
                    count += len(chunk)
                    if count > allowed:
                        break
                    file.write(chunk)
        except _MemberError:
            target.unlink()  # a partial image must not be used as an image
            raise
    return count


def _refusal(name: str) -> str | None:
    """Return why a member with this name must not be written, or None."""
    parts = re.split(r"[/\\]", name)
    if not parts[0] or re.match(r"[A-Za-z]:", name):
        return "absolute path in the archive"
    if ".." in parts:
        return "path that leads out of the archive"
    return None


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        if any(info.flag_bits & 1 for info in archive.infolist()):
            raise DataError(f"{path} is encrypted; unpack it yourself and give the folder")
        for info in archive.infolist():
            name, kind = _zip_name(info), stat.S_IFMT(info.external_attr >> 16)
            if _is_zip_folder(info, kind) or _is_ignored(name):
                continue
            if kind not in (0, stat.S_IFREG):
                what = "link" if kind == stat.S_IFLNK else "device"
                yield _Member(name, refused=f"{what} in the archive")
                continue
            yield _Member(name, partial(_zip_content, archive, info), _refusal(name))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; many programs write UTF-8 without saying so."""
    if info.flag_bits & _UTF8_FLAG or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _is_zip_folder(info: zipfile.ZipInfo, kind: int) -> bool:
    """Whether a member is a folder; old .NET and PowerShell end its name with a backslash."""
    if info.filename.endswith(("/", "\\")) or kind == stat.S_IFDIR:
        return True
    return bool(info.external_attr & _DOS_FOLDER) and not info.file_size


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Generator[bytes]:
    """Read one member; each is compressed separately, so damage affects only that one."""
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except NotImplementedError as error:
        raise _MemberError(f"cannot be unpacked: {error}") from error
    except (*_DECODE_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _ReadError from error
        raise _MemberError("damaged in the archive") from error


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isdir() or _is_ignored(info.name):
                continue
            if not (info.isreg() or info.islnk()):
                what = "link" if info.issym() else "device"
                yield _Member(info.name, refused=f"{what} in the archive")
                continue
            reason = _refusal(info.name)
            try:
                # Python's own check in addition. It would only strip the slash of an absolute
                # path, which is refused here.
                tarfile.data_filter(info, str(path.parent))
            except (tarfile.FilterError, ValueError):  # ValueError: a zero byte in the name
                reason = reason or _UNSAFE
            yield _Member(info.name, partial(_tar_content, archive, info), reason)


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Generator[bytes]:
    try:
        # A hard link is another name of an earlier member, whose content is read here.
        file = archive.extractfile(info)
    except KeyError as error:
        raise _MemberError(_UNSAFE) from error
    if file is None:  # a hard link to a folder
        raise _MemberError(_UNSAFE)
    try:
        with file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise _ReadError from error


def _is_ignored(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return any(part not in (".", "..") and is_litter(part) for part in parts if part)
