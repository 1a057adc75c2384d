"""The members of zip files."""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Final, cast

from headstart.datasets.archive_members import (
    CHUNK,
    MOST_MEMBERS,
    Member,
    MemberError,
    ReadError,
    is_ignored,
    refusal,
    too_many_members,
)
from headstart.errors import DataError

_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError),
    *(struct.error, ValueError),
)
_ENTRY_MARK: Final = b"PK\x01\x02"
_LARGEST_READ: Final = 1 << 17  # bytes; only a list of entries is read in larger pieces
_LARGEST_LIST: Final = 256 * 1024**2  # bytes of the list of entries
_SLOW_CHUNK: Final = 4096  # bytes; zipfile decompresses as many at once, whatever they expand to
_LZMA_HEAD: Final = struct.Struct("<4xBI")  # after the local header: version, size, properties
_LOCAL_HEAD: Final = struct.Struct("<26xHH")  # lengths of the name and of the extra field
_LARGEST_WINDOW: Final = 256 * 1024**2  # bytes that a decompressor of LZMA keeps
_DOS_FOLDER: Final = 0x10
_UTF8_FLAG: Final = 0x800


class _ZipSource(io.BufferedReader):
    """A zip file whose list of entries, which zipfile reads as a whole, has a bounded size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_LIST:
            raise DataError(
                f"{self.name} has a list of entries of {size / 1e6:.0f} MB (limit "
                f"{_LARGEST_LIST / 1e6:.0f} MB); unpack it yourself and give the folder"
            )
        content = super().read(size)
        if len(content) > _LARGEST_READ and content.count(_ENTRY_MARK) > MOST_MEMBERS:
            raise too_many_members(Path(self.name))
        return content


def zip_members(path: Path) -> Iterator[Member]:
    """Yield the entries of a zip file.

    Raises:
        DataError: It is encrypted, or has too many entries.
        OSError: It cannot be read.
    """
    with _ZipSource(io.FileIO(path)) as source, zipfile.ZipFile(source) as archive:
        if any(info.flag_bits & 1 for info in archive.infolist()):
            raise DataError(f"{path} is encrypted; unpack it yourself and give the folder")
        yield from (_member(archive, info) for info in archive.infolist())


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name, kind = _name(info), stat.S_IFMT(info.external_attr >> 16)
    if _is_folder(info, kind) or is_ignored(name):
        return Member(name)
    if kind not in (0, stat.S_IFREG):
        return Member(name, refused=f"{_kind_text(kind)} in the archive")
    return Member(name, partial(_content, archive, info), refusal(name))


def _kind_text(kind: int) -> str:
    return "link" if kind == stat.S_IFLNK else "device"


def _name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; many programs write UTF-8 without saying so."""
    if info.flag_bits & _UTF8_FLAG or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _is_folder(info: zipfile.ZipInfo, kind: int) -> bool:
    """Whether a member is a folder; old .NET and PowerShell end its name with a backslash."""
    if info.filename.endswith(("/", "\\")) or kind == stat.S_IFDIR:
        return True
    return bool(info.external_attr & _DOS_FOLDER) and not info.file_size


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Generator[bytes]:
    """Read one member; each is compressed separately, so damage affects only that one."""
    quick = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    try:
        if info.compress_type == zipfile.ZIP_LZMA:
            _check_window(archive, info)
        with archive.open(info) as file:
            read = file.read if quick else cast("zipfile.ZipExtFile", file).read1
            while chunk := read(CHUNK if quick else _SLOW_CHUNK):
                yield chunk
    except NotImplementedError as error:
        raise MemberError(f"cannot be unpacked: {error}") from error
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ReadError from error
        raise MemberError("damaged in the archive") from error


def _check_window(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse a member of LZMA whose decompressor would take gigabytes."""
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    name, extra = _LOCAL_HEAD.unpack(archive.fp.read(_LOCAL_HEAD.size))
    archive.fp.seek(name + extra, io.SEEK_CUR)
    _, window = _LZMA_HEAD.unpack(archive.fp.read(_LZMA_HEAD.size))
    if window > _LARGEST_WINDOW:
        raise MemberError(f"cannot be unpacked: needs {window / 1e6:.0f} MB of memory")
