"""Safe unpacking of zip and tar files from untrusted sources.

Only regular files whose names stay inside the archive are written, and this module writes them
itself: links, devices, permissions and owners are never applied. The total size and the number of
files are limited. Every other member is reported as skipped.
"""

import errno
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from headstart.datasets.folders import is_ignored
from headstart.errors import DataError
from headstart.system.cache_folder import cache_errors
from headstart.types import Skipped

_DECODE_ERRORS: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
)
# Archives of images stay within these limits, and decompression bombs exceed them. Images are
# already compressed: even blank bitmaps rarely shrink a hundredfold.
_MOST_BYTES, _MOST_FILES = 64 * 1024**3, 2_000_000
_RATIO: Final = 200  # largest ratio of unpacked size to archive size
_FREE: Final = 256 * 1024**2  # bytes that may be unpacked at any ratio
_CHUNK: Final = 1 << 20
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
                shown = member.name.encode("utf-8", "replace").decode()  # names may be any bytes
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
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or _is_ignored(info.filename):
                continue
            if kind not in (0, stat.S_IFREG):
                what = "link" if kind == stat.S_IFLNK else "device"
                yield _Member(info.filename, refused=f"{what} in the archive")
                continue
            content = partial(_zip_content, archive, info)
            yield _Member(info.filename, content, _refusal(info.filename))


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
            except tarfile.FilterError:
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
    return any(part not in (".", "..") and is_ignored(part) for part in parts if part)
