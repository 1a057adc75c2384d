"""The members of tar files, compressed or not."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Final, cast

from headstart.datasets.archive_members import (
    CHUNK,
    UNSAFE,
    Allowance,
    Member,
    MemberError,
    ReadError,
    is_ignored,
    refusal,
    target,
)
from headstart.errors import DataError

_LARGEST_HEADER: Final = 1 << 20  # bytes of all headers of one member
_MOST_GLOBAL: Final = 100  # records that apply to all members
_MOST_PIECES: Final = 1000  # of a sparse file
_XZ_MEMORY: Final = 256 * 1024**2  # bytes; `xz -9` needs 65 million
_PIECE: Final = 1 << 16  # compressed bytes that are read at once


class _XzFile(io.RawIOBase):
    """A file compressed with xz or LZMA, decompressed within a fixed memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._restart()

    def _restart(self) -> None:
        self._file.seek(0)
        self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while True:
            rest = b""
            if self._decompressor.eof:  # parallel compressors write several streams
                rest = self._decompressor.unused_data.lstrip(b"\0") or self._file.read(_PIECE)
                rest = rest.lstrip(b"\0")
                if not rest:
                    return 0
                self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self._decompressor.needs_input:
                rest = self._file.read(_PIECE)
                if not rest:
                    raise EOFError("the compressed file ends early")
            try:
                chunk = self._decompressor.decompress(rest, max_length=len(buffer))
            except lzma.LZMAError as error:
                if "limit exceeded" not in str(error):
                    raise
                raise DataError(
                    f"{self._file.name} needs more than {_XZ_MEMORY / 1e6:.0f} MB of memory to be "
                    "unpacked; unpack it yourself and give the folder"
                ) from error
            if chunk:
                buffer[: len(chunk)] = chunk
                self._position += len(chunk)
                return len(chunk)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        if offset < self._position:
            self._restart()
        while self._position < offset:
            if not self.read(min(CHUNK, offset - self._position)):
                break
        return self._position

    def tell(self) -> int:
        return self._position


class _TarSource:
    """What tarfile reads from, which would keep headers of any size in memory.

    Every byte of a compressed file counts that is decompressed, also to pass over a member.
    """

    def __init__(self, file: IO[bytes], allowance: Allowance | None) -> None:
        self._file = file
        self._allowance = allowance
        self._position = 0
        self._size = None if allowance else file.seek(0, io.SEEK_END)
        self._header_left: int | None = _LARGEST_HEADER
        file.seek(0)

    def begin_header(self) -> None:
        """Expect the headers of one member."""
        self._header_left = _LARGEST_HEADER

    def begin_content(self) -> None:
        """Expect the content of a member."""
        self._header_left = None

    def read(self, size: int) -> bytes:
        if size < 0:
            raise tarfile.ReadError("a size below zero")
        if self._header_left is not None:
            self._header_left -= size
            if self._header_left < 0:
                raise tarfile.ReadError(f"a header of more than {_LARGEST_HEADER:,} bytes")
        if self._allowance:
            self._allowance.spend(size)
        content = self._file.read(size)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        if self._allowance:
            back = offset < self._position  # begins again at the start
            self._allowance.spend(offset - (0 if back else self._position))
        elif self._size is not None and offset > self._size:
            raise tarfile.ReadError("unexpected end of data")
        self._position = self._file.seek(offset)
        return self._position

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position


def tar_members(path: Path, into: Path, allowance: Allowance) -> Iterator[Member]:
    """Yield the entries of a tar file.

    A hard link is another name of an earlier member, whose content is read where it was written:
    a compressed file would have to be decompressed from its start. Links to members that are passed
    over are refused, because nothing was written for them.

    Args:
        path: The file.
        into: The folder that the caller writes the members to, at their names.
        allowance: How many bytes may be decompressed.

    Raises:
        tarfile.TarError: It is damaged, or not a tar file.
        OSError: It cannot be read.
    """
    with path.open("rb") as raw, _decompressed(raw) as file:
        source = _TarSource(file, None if file is raw else allowance)
        for archive, info in _headers(source):
            source.begin_content()
            if info.isdir() or is_ignored(info.name):
                yield Member(info.name)
            else:
                yield _member(archive, info, into)
            source.begin_header()


def _headers(source: _TarSource) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r:") as archive:
            while (info := archive.next()) is not None:
                vars(archive)["members"].clear()  # which tarfile keeps for random access
                if info.size < 0:
                    raise tarfile.ReadError("a size below zero")
                if len(archive.pax_headers) > _MOST_GLOBAL:
                    raise tarfile.ReadError(f"more than {_MOST_GLOBAL} global records")
                yield archive, info
    except DataError:
        raise
    # What tarfile lets pass of damaged numbers, and of headers of headers.
    except (ValueError, LookupError, OverflowError, RecursionError, struct.error) as error:
        raise tarfile.ReadError("a damaged header") from error


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    """Return the content of a file, which may be compressed."""
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))
    if head.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(raw))
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return cast("IO[bytes]", io.BufferedReader(_XzFile(raw)))
    return raw


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo, into: Path) -> Member:
    name = info.name
    if not (info.isreg() or info.islnk()):
        what = "link" if info.issym() else "device"
        return Member(name, refused=f"{what} in the archive")
    if len(getattr(info, "sparse", None) or ()) > _MOST_PIECES:
        return Member(name, refused=f"a sparse file in more than {_MOST_PIECES:,} pieces")
    reason = refusal(name)
    try:
        # Python's own check in addition. It would only strip the slash of an absolute path,
        # which is refused here.
        tarfile.data_filter(info, str(into))
    except (tarfile.FilterError, ValueError, OSError):  # a zero byte in the name, a long one
        reason = reason or UNSAFE
    if info.islnk():
        return Member(name, partial(_written, into, info), reason)
    return Member(name, partial(_content, archive, info), reason)


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Generator[bytes]:
    file = archive.extractfile(info)
    assert file is not None
    try:
        with file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise ReadError from error


def _written(into: Path, link: tarfile.TarInfo) -> Generator[bytes]:
    """Read the member that a hard link names, where it was written."""
    path = target(into, link.linkname)
    try:
        if refusal(link.linkname) or not path.is_file() or path == target(into, link.name):
            raise MemberError(UNSAFE)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (ValueError, OSError) as error:
        raise MemberError(UNSAFE) from error
