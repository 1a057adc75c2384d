"""Archives of images, unpacked once into the cache.

An archive may come from anywhere, so nothing in it is trusted: only regular files with a name
inside the archive are written, by this module and not by the archive's own wishes (no links, no
devices, no modes, no owners), and no more of them than an honest archive holds. The rest is
listed as skipped.
"""

from __future__ import annotations

import errno
import json
import lzma
import re
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from headstart.datasets.dataset import ImageDataset
from headstart.datasets.entries import split_named
from headstart.datasets.folders import is_litter, open_folder
from headstart.datasets.staging import cache_place, staged, writing
from headstart.datasets.tables import is_table, open_table
from headstart.errors import DataError
from headstart.features.path_index import PathIndex
from headstart.system.digests import file_digest
from headstart.types import Skipped

ARCHIVE_ENDINGS: Final = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
)
_BROKEN: Final = (*(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),)
_CHUNK: Final = 1 << 20
_UNSAFE: Final = "unsafe in the archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an honest archive of images stays within; a decompression bomb does not.

    Attributes:
        total: bytes that may be unpacked.
        ratio: how many times larger than the archive they may be; images are compressed
            already, and blank bitmaps rarely shrink a hundredfold.
        free: bytes that may be unpacked whatever the ratio.
        members: files that may be unpacked.
    """

    total: int = 64 * 1024**3
    ratio: int = 200
    free: int = 256 * 1024**2
    members: int = 2_000_000

    def allowed(self, archive_bytes: int) -> int:
        """How many bytes an archive of this size may unpack to."""
        return min(self.total, max(self.free, self.ratio * archive_bytes))


@dataclass(frozen=True, slots=True)
class _Member:
    """A file in an archive: how to read it, or why it is left out."""

    name: str
    content: Callable[[], Generator[bytes]] | None = None
    refused: str | None = None


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its ending."""
    return path.name.lower().endswith(ARCHIVE_ENDINGS)


def open_archive(
    path: Path,
    *,
    cache: Path,
    image_column: str | None = None,
    label_column: str | None = None,
    require_classes: int = 2,
    limits: Limits | None = None,
) -> ImageDataset:
    """Unpack an archive, unless that has been done before, and read what is in it.

    A single folder that everything lies in is entered. If what is there has no two class folders
    but one table beside them, the table is read.

    Args:
        path: a zip file, or a tar file in any of the usual compressions.
        cache: unpacked below `cache / "archives"`, under the digest of the archive's bytes.
        image_column: for the table, see `open_table`.
        label_column: for the table, see `open_table`.
        require_classes: how many classes there must be.
        limits: how much may be unpacked.

    Raises:
        DataError: it is encrypted, truncated, no archive at all, a bomb, or without classes.
        StoreError: the cache cannot be written.
    """
    digest = _digest(path, cache)
    unpacked = cache_place(cache, "archives") / digest
    if not unpacked.is_dir():
        with staged(unpacked) as work:
            with writing(unpacked):
                (work / "files").mkdir()
            refused = unpack(path, work / "files", limits=limits)
            notes = json.dumps([asdict(one) for one in refused])
            with writing(unpacked):
                (work / "refused.json").write_text(notes, encoding="utf-8")
    notes = (unpacked / "refused.json").read_text(encoding="utf-8")
    refused = tuple(Skipped(**one) for one in json.loads(notes))
    top, tables = _top(unpacked / "files")
    found: ImageDataset | DataError
    try:
        found = open_folder(top, name=path.name, require_classes=1 if tables else require_classes)
    except DataError as error:
        found = error
    if len(tables) == 1 and (isinstance(found, DataError) or len(found.classes) < 2):
        found = open_table(
            tables[0],
            name=path.name,
            image_column=image_column,
            label_column=label_column,
            within=unpacked / "files",
            require_classes=require_classes,
        )
    if isinstance(found, DataError) or len(found.classes) < require_classes:
        raise DataError(
            f"{path} holds no two folders of images, one per class, and not one table either; "
            f"it was unpacked to {top}"
        )
    # The cache knows the archive by its bytes, whatever its name was then.
    named = (Skipped(f"{path.name}/{one.path}", one.reason) for one in refused)
    return replace(found, skipped=(*found.skipped, *named))


def _digest(path: Path, cache: Path) -> str:
    """The digest of an archive, read only if it has changed since it was last asked for."""
    index = PathIndex(cache)
    if (known := index.digest(path)) is not None:
        return known
    taken = time.time_ns()
    try:
        status = path.stat()
        digest = file_digest(path)
    except OSError as error:
        raise _cannot_read(path, error) from error
    index.remember(path, status, digest, taken=taken)
    index.save()
    return digest


def unpack(path: Path, into: Path, *, limits: Limits | None = None) -> tuple[Skipped, ...]:
    """Write the regular files of an archive below a folder.

    Args:
        path: a zip or tar file, told by its content.
        into: an existing folder.
        limits: how much may be unpacked.

    Returns:
        The members that were left out, and why.

    Raises:
        DataError: it is encrypted, truncated, damaged, no archive, cannot be read, or is beyond
            the limits.
        StoreError: the folder cannot be written.
    """
    limits = limits or Limits()
    refused: list[Skipped] = []
    files = written = 0
    try:
        allowed = limits.allowed(path.stat().st_size)
        for member in _zip_members(path) if _is_zip(path) else _tar_members(path):
            reason = member.refused
            if reason is None:
                files += 1
                if files > limits.members:
                    raise DataError(f"{path} holds more than {limits.members} files")
                try:
                    written += _write(member, into, allowed - written)
                except _TooMuchError:
                    raise DataError(
                        f"{path} unpacks to more than {allowed / 1e6:.0f} MB, as decompression "
                        "bombs do; if you trust it, unpack it by hand and give the folder"
                    ) from None
                except _LostError as lost:
                    reason = str(lost)
            if reason is not None:
                shown = member.name.encode("utf-8", "replace").decode()  # names may be any bytes
                refused.append(Skipped(shown, reason))
    except (*_BROKEN, OSError, _ReadError) as caught:
        error = caught.__cause__ if isinstance(caught, _ReadError) else caught
        # Decompressors raise plain OSErrors too, but without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise _cannot_read(path, error) from error
        said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise DataError(
            f"{path} is truncated, damaged or no archive ({said}); get it again"
        ) from error
    return tuple(refused)


def _cannot_read(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {error.strerror or error}")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        # Not zipfile.is_zipfile, which also says yes to a tar file that ends in a zip file.
        return file.read(2) == b"PK"


class _TooMuchError(Exception):
    pass


class _LostError(Exception):
    """One member cannot be had, for this reason; the others can."""


class _ReadError(Exception):
    """Its cause is an error from reading the archive, which writing must not be blamed for."""


def _write(member: _Member, into: Path, allowed: int) -> int:
    """Copy one member; what it claims of its size is not believed."""
    assert member.content is not None
    target = into.joinpath(*PurePosixPath(member.name.replace("\\", "/")).parts)
    count = 0
    with writing(into):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("wb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError, ValueError) as error:
            raise _LostError("its name cannot be used here") from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise _LostError("its name cannot be used here") from error
            raise
        try:
            with file, closing(member.content()) as content:
                for chunk in content:
                    count += len(chunk)
                    if count > allowed:
                        raise _TooMuchError
                    file.write(chunk)
        except _LostError:
            target.unlink()  # half a picture must not look like one
            raise
    return count


def _unsafe(name: str) -> str | None:
    """Why a member with this name is not written, or None."""
    parts = re.split(r"[/\\]", name)
    if not parts[0] or re.match(r"[A-Za-z]:", name):
        return "absolute path in the archive"
    if ".." in parts:
        return "path that leads out of the archive"
    return None


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        if any(info.flag_bits & 1 for info in archive.infolist()):
            raise DataError(f"{path} is encrypted; unpack it by hand and give the folder")
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or _is_litter(info.filename):
                continue
            if kind not in (0, stat.S_IFREG):
                what = "link" if kind == stat.S_IFLNK else "device"
                yield _Member(info.filename, refused=f"{what} in the archive")
                continue
            reason = _unsafe(info.filename)
            yield _Member(info.filename, partial(_zip_content, archive, info), reason)


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Generator[bytes]:
    """The members of a zip file are compressed each for itself, so damage costs only one."""
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except NotImplementedError as error:
        raise _LostError(f"cannot be unpacked: {error}") from error
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _ReadError from error
        raise _LostError("damaged in the archive") from error


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isdir() or _is_litter(info.name):
                continue
            if not (info.isreg() or info.islnk()):
                what = "link" if info.issym() else "device"
                yield _Member(info.name, refused=f"{what} in the archive")
                continue
            reason = _unsafe(info.name)
            try:
                # Python's own judgment besides ours. It would strip the slash of an absolute
                # path, and here such a member is refused.
                tarfile.data_filter(info, str(path.parent))
            except tarfile.FilterError:
                reason = reason or _UNSAFE
            yield _Member(info.name, partial(_tar_content, archive, info), reason)


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Generator[bytes]:
    try:
        # A hard link is another name of an earlier member, which is what is read here.
        file = archive.extractfile(info)
    except KeyError as error:
        raise _LostError(_UNSAFE) from error
    if file is None:  # a hard link to a folder
        raise _LostError(_UNSAFE)
    try:
        with file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise _ReadError from error


def _is_litter(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return any(part not in (".", "..") and is_litter(part) for part in parts if part)


def _top(files: Path) -> tuple[Path, list[Path]]:
    """Where the class folders are, and the tables beside them."""
    while True:
        inner = sorted(files.iterdir())
        tables = [one for one in inner if one.is_file() and is_table(one)]
        folders = [one for one in inner if one.is_dir()]
        if tables or len(folders) != 1 or split_named(folders[0].name):
            return files, tables
        # A folder that holds neither folders nor a table is a class, not a wrapping.
        if not any(one.is_dir() or is_table(one) for one in folders[0].iterdir()):
            return files, tables
        files = folders[0]
