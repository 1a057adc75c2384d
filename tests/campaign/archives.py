"""Hostile archives: each tries to write elsewhere, to fill memory or disk, or to be taken for more
than it is."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from headstart import open_dataset
from headstart.errors import HeadstartError
from tests.campaign.campaign import Campaign
from tests.campaign.isolation import Bounds, Task, isolated, refusal_fault
from tests.images.kinds import jpeg

Pack: TypeAlias = Callable[[bytes], bytes]
_BOUNDS: Final = Bounds(seconds=120, megabytes=1_500, batch=10)
_PHOTO: Final = jpeg()
_GOOD: Final = {f"{kind}/{index}.jpg": _PHOTO + bytes(index) for kind in "ab" for index in range(3)}
_MARK: Final = "planted"
"""What is in the name of each file that must not be written."""


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes]):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in (*_GOOD.items(), *members):
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, good in _GOOD.items():
            info = tarfile.TarInfo(name)
            info.size = len(good)
            archive.addfile(info, io.BytesIO(good))
        for info in members:
            info.size = len(_PHOTO) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(_PHOTO) if info.isreg() else None)
    return file.getvalue()


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **fields: str):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, fields
    return info


def _unix(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def _zeros(size: int) -> bytes:
    """Return a zip file with a file of `size` zeros, made without holding them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in _GOOD.items():
            archive.writestr(name, content)
        with archive.open("a/bomb.jpg", "w", force_zip64=True) as target:
            for _ in range(size >> 20):
                target.write(bytes(1 << 20))
    return file.getvalue()


def _overlapping() -> bytes:
    """Return a zip file of 4,000 names for one compressed megabyte (Fifield's bomb, simplified)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = bytes(1 << 20)
    body = packer.compress(content) + packer.flush()
    sizes = struct.pack("<III", zlib.crc32(content), len(body), len(content))
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 0x21) + sizes
    local += struct.pack("<HH", 10, 0) + b"a/0000.jpg"
    entries = b""
    for index in range(4_000):
        entries += b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0x21) + sizes
        entries += struct.pack("<HHHHHII", 10, 0, 0, 0, 0, 0, 0) + b"a/%04d.jpg" % index
    at = len(local) + len(body)
    end = struct.pack("<HHHHIIH", 0, 0, 4_000, 4_000, len(entries), at, 0)
    return local + body + entries + b"PK\5\6" + end


def _bomb_in_bomb() -> bytes:
    content = _zeros(64 << 20)
    for level in range(5):
        content = _zip((f"a/{level}.zip", content))
    return content


def _endless(pack: Pack, info: tarfile.TarInfo, content: bytes, times: int) -> bytes:
    """Return a packed tar file whose last member is followed by the same content many times.

    Streams of these formats may follow each other, so it is packed once.
    """
    start = _tar().rstrip(b"\0")
    start += bytes(-len(start) % tarfile.BLOCKSIZE) + info.tobuf(tarfile.GNU_FORMAT)
    return pack(start) + pack(content) * times + pack(_tar())


def _large(name: str, kind: bytes, size: int) -> tarfile.TarInfo:
    info = _entry(name, kind)
    info.size = size
    return info


def _bomb(pack: Pack) -> bytes:
    return _endless(pack, _large("a/x.jpg", tarfile.REGTYPE, 2 << 30), bytes(1 << 20), 2_048)


def _huge_header(kind: bytes) -> bytes:
    """Return a tar file with a pax or long-name header of a gigabyte."""
    info = _large("././@LongLink", kind, 1 << 30)
    return _endless(gzip.compress, info, b"x" * (1 << 20), 1_024)


def _many_members(kind: bytes) -> bytes:
    """Return a tar file of a million empty members."""
    blocks = b"".join(_entry(f"a/{index}", kind, "x").tobuf() for index in range(10_000))
    return _endless(gzip.compress, _entry("a", tarfile.DIRTYPE), blocks, 100)


def _long_ignored_names() -> bytes:
    """Return a tar file of 1,600 long names, as macOS adds them beside photos."""
    rest = "a" * 1_000_000
    names = (_entry(f"._{index}{rest}").tobuf(tarfile.GNU_FORMAT) for index in range(1_600))
    packed = b"".join(gzip.compress(name, 1) for name in names)
    spare = Random(0).randbytes(4 << 20)  # else it would unpack to more than is allowed
    info = _large("a/x.jpg", tarfile.REGTYPE, len(spare))
    return packed + gzip.compress(info.tobuf() + spare) + gzip.compress(_tar())


def _encrypted() -> bytes:
    """Return a zip file whose entries say that they are encrypted."""
    data = bytearray(_zip())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    return bytes(data)


def _lying_sizes(size: int) -> bytes:
    """Return a zip file whose entries state another size than they have."""
    data = bytearray(_zip())
    at = data.find(b"PK\1\2")
    while at >= 0:
        data[at + 24 : at + 28] = struct.pack("<I", size)
        at = data.find(b"PK\1\2", at + 4)
    return bytes(data)


_LONG: Final = "d/" * 3_000 + "x.jpg"
_OTHER_NAMES: Final = ("a/CON.jpg", "a/x:y.jpg", "a/tab\t.jpg", "a/line\n.jpg", "a/\x1b[31m.jpg")
ARCHIVES: Final[dict[str, Callable[[], bytes]]] = {
    "slip.zip": lambda: _zip((f"../../{_MARK}.jpg", _PHOTO)),
    "backslash slip.zip": lambda: _zip((f"..\\..\\{_MARK}.jpg", _PHOTO)),
    "absolute.zip": lambda: _zip((f"/tmp/{_MARK}.jpg", _PHOTO), (f"C:\\{_MARK}.jpg", _PHOTO)),
    "links.zip": lambda: _zip((_unix("a/out", 0o120777), b"../../.."), ("a/out/x.jpg", _PHOTO)),
    "devices.zip": lambda: _zip((_unix("a/zero.jpg", 0o020666), b""), (_unix("p", 0o010666), b"")),
    "slip.tar": lambda: _tar(_entry(f"../../{_MARK}.jpg"), _entry(f"a/../../../{_MARK}.jpg")),
    "absolute.tar.gz": lambda: gzip.compress(_tar(_entry(f"/tmp/{_MARK}.jpg"))),
    "links.tar": lambda: _tar(_entry("a/out", tarfile.SYMTYPE, "../../.."), _entry("a/out/x.jpg")),
    "hard links.tar": lambda: _tar(
        _entry("a/1.jpg", tarfile.LNKTYPE, "/etc/passwd"),
        _entry("a/2.jpg", tarfile.LNKTYPE, "../../../etc/passwd"),
        _entry("a/3.jpg", tarfile.LNKTYPE, "a/3.jpg"),
        _entry("a/4.jpg", tarfile.LNKTYPE, "a"),
    ),
    "devices.tar": lambda: _tar(
        *(_entry(f"a/{kind!r}.jpg", kind) for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE)),
        _entry("a/fifo.jpg", tarfile.FIFOTYPE),
    ),
    "pax names.tar": lambda: _tar(_entry("a/x.jpg", path=f"../../../{_MARK}.jpg")),
    "pax sizes.tar": lambda: _tar(
        _entry("a/x.jpg", size=str(2**62)), _entry("a/y.jpg", size="-5"), _entry("z", size="x")
    ),
    "pax times.tar": lambda: _tar(_entry("a/x.jpg", mtime="1e400"), _entry("a/y.jpg", mtime="nan")),
    "pax charset.tar": lambda: _tar(_entry("a/x.jpg", hdrcharset="BINARY", path="a/\udcff.jpg")),
    "sparse.tar": lambda: _tar(
        _entry("a/x.jpg", **{"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**60)})
    ),
    "bomb.zip": lambda: _zeros(1 << 30),
    "bomb.tar.gz": partial(_bomb, gzip.compress),
    "bomb.tar.xz": partial(_bomb, lzma.compress),
    "bomb.tar.bz2": partial(_bomb, bz2.compress),
    "overlapping.zip": _overlapping,
    "nested bombs.zip": _bomb_in_bomb,
    "pax of a gigabyte.tar.gz": partial(_huge_header, tarfile.XHDTYPE),
    "name of a gigabyte.tar.gz": partial(_huge_header, tarfile.GNUTYPE_LONGNAME),
    "a million folders.tar.gz": partial(_many_members, tarfile.DIRTYPE),
    "a million links.tar.gz": partial(_many_members, tarfile.SYMTYPE),
    "long names that are ignored.tar.gz": _long_ignored_names,
    "60,000 names.zip": lambda: _zip(*((f"x/{index}/", b"") for index in range(60_000))),
    "encrypted.zip": _encrypted,
    "cut.zip": lambda: _zip()[:-40],
    "cut.tar.gz": lambda: gzip.compress(_tar())[:-100],
    "cut.tar": lambda: _tar()[:1_300],
    "part.zip.001": lambda: _zip()[:500],
    "last part.zip": lambda: _zip().replace(b"PK\5\6\0\0\0\0", b"PK\5\6\3\0\3\0"),
    "case.zip": lambda: _zip(*((name, _PHOTO) for name in ("A/0.JPG", "B", "a/0.JPG", "a"))),
    "duplicates.zip": lambda: _zip(*[("a/same.jpg", _PHOTO)] * 20, ("a/same.jpg/x.jpg", _PHOTO)),
    "without names.tar": lambda: _tar(_entry(""), _entry("."), _entry("./"), _entry("a//")),
    "odd names.zip": lambda: _zip(*((name, _PHOTO) for name in (*_OTHER_NAMES, "..", "a\0b", " "))),
    "deep.tar": lambda: _tar(_entry(_LONG), form=tarfile.GNU_FORMAT),
    "deep.zip": lambda: _zip((_LONG, _PHOTO), ("y" * 60_000 + ".jpg", _PHOTO)),
    "large size.zip": lambda: _lying_sizes(0xFFFFFFF0),
    "small size.zip": lambda: _lying_sizes(1),
}
"""Name -> what makes the content."""


def _outside(folder: Path, cache: Path) -> list[Path]:
    """Return the files of a campaign that are not where they may be."""
    return [path for path in folder.rglob("*") if cache not in (path, *path.parents)]


def open_hostile(folder: Path, task: Task) -> str | None:
    """Open the archive of a name, twice."""
    name = str(task)
    content = ARCHIVES[name]()
    source = folder / "data"
    source.mkdir()
    (source / name).write_bytes(content)
    del content
    cache, before = folder / "cache", {*_outside(folder, folder / "cache")}
    fault = None
    try:
        found = open_dataset(source / name, cache=cache)
        open_dataset(source / name, cache=cache)  # the same again, from the cache
    except HeadstartError as error:
        fault = refusal_fault(error)
    else:
        if any("\n" in one.reason for one in found.skipped):
            fault = "a reason of more than one line"
    planted = [*Path("/tmp").glob(f"{_MARK}*"), *cache.rglob(f"{_MARK}*")]
    strange = [path for path in cache.rglob("*") if path.is_symlink() or _is_special(path)]
    if planted or strange or {*_outside(folder, cache)} != before:
        return f"wrote {[str(path) for path in (*planted, *strange)]}"
    return fault


def _is_special(path: Path) -> bool:
    return not (path.is_file() or path.is_dir())


def _tries(folder: Path, count: int, _chance: Random) -> Iterator[str | None]:
    return isolated(open_hostile, list(ARCHIVES)[:count], folder, _BOUNDS)


HOSTILE_ARCHIVES: Final = Campaign(
    kind="hostile archives",
    failure="a file outside the cache, a crash, a hang, over 1.5 GB, or a reason of over 10 kB",
    tries=_tries,
    full=len(ARCHIVES),
    short=14,
    slow=True,
)
