"""A hundred kinds of broken and odd files, as folders of photos contain them."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from PIL import Image

from tests.conftest import picture
from tests.images.kinds import chunk, segment

Make: TypeAlias = Callable[[Image.Image, Random], bytes]
"""Maps a picture and a source of chance to the content of a file."""
Place: TypeAlias = Callable[[Path, Path, Random], object]
"""Puts something at a path; the other path is that of a good image elsewhere."""


class Use(Enum):
    """What must become of a file."""

    REFUSED = auto()
    SAME = auto()
    """It shows the picture, to the bit as without the damage."""
    USED = auto()
    ANY = auto()
    """It may be refused, or be read as something else."""


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        ending: that of its name.
        make: makes its content.
        use: what must become of it.
        shows: the format of a whole file of the same picture.
        place: puts it there, if it is not an ordinary file.
    """

    ending: str
    make: Make | None = None
    use: Use = Use.REFUSED
    shows: str = "jpg"
    place: Place | None = None


_PNG: Final = b"\x89PNG\r\n\x1a\n"
_FORMATS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "jpg": ("JPEG", {"quality": 90}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "deflate.tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tif": ("TIFF", {"compression": "jpeg"}),
    "bmp": ("BMP", {}),
    "jp2": ("JPEG2000", {}),
    "avif": ("AVIF", {}),
    "ppm": ("PPM", {}),
    "tga": ("TGA", {"compression": "tga_rle"}),
    "pcx": ("PCX", {}),
    "sgi": ("SGI", {"rle": True}),
    "qoi": ("QOI", {}),
    "dds": ("DDS", {}),
    "ico": ("ICO", {"sizes": [(48, 48)]}),
}
_UNCHECKED: Final = ("tif", "bmp", "jpeg.tif", "jp2", "qoi", "avif", "webp", "lossless.webp")
"""Formats in which zeros at the end may be pixels."""


def saved(image: Image.Image, name: str = "jpg", **more: Any) -> bytes:
    """Return a picture in one of the formats."""
    kind, options = _FORMATS[name]
    file = io.BytesIO()
    image.save(file, kind, **options, **more)
    return file.getvalue()


def _cut(name: str, least: float = 0.1, most: float = 0.9) -> Make:
    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image, name)
        return data[: int(chance.uniform(least, most) * len(data))]

    return make


def _closed(name: str) -> Make:
    return lambda image, chance: _cut(name, 0.5)(image, chance) + b"\xff\xd9"


def _zero_tail(name: str) -> Make:
    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image, name)
        return data[: int(chance.uniform(0.4, 0.9) * len(data))].ljust(len(data), b"\0")

    return make


def _frame(change: Callable[[int, int, Random], tuple[int, int]]) -> Make:
    """Return a JPEG whose header states another (height, width)."""

    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image)
        at = data.index(b"\xff\xc0") + 5
        height, width = struct.unpack_from(">HH", data, at)
        size = change(height, width, chance)
        return data[:at] + struct.pack(">HH", *size) + data[at + 4 :]

    return make


def _png_header(*, width: int = 0, height: int = 0, bits: int = 8, color: int = 2) -> Make:
    """Return a PNG whose header states something else, with the right checksum."""

    def make(image: Image.Image, chance: Random) -> bytes:
        size = (width or image.width, height or image.height)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, color, 0, 0, 0))
        return _PNG + header + saved(image, "png")[33:]

    return make


def _png_pixels(change: Callable[[bytes, Random], bytes], *, checksum: int | None = None) -> Make:
    """Return a PNG of which the compressed pixels are changed."""

    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image, "png")
        body = zlib.compress(b"".join(b"\0" + row for row in _rows(image)))
        body = chunk(b"IDAT", change(body, chance), checksum=checksum)
        return data[:33] + body + chunk(b"IEND", b"")

    return make


def _flipped_png(image: Image.Image, chance: Random) -> bytes:
    data = bytearray(_png_pixels(lambda body, c: body)(image, chance))
    place = chance.randrange(data.find(b"IDAT") + 4, data.rfind(b"IEND") - 8)
    data[place] ^= 1 << chance.randrange(8)
    return bytes(data)


def _rows(image: Image.Image) -> list[bytes]:
    data, step = image.tobytes(), 3 * image.width
    return [data[at : at + step] for at in range(0, len(data), step)]


def _fewer_rows(body: bytes, chance: Random) -> bytes:
    pixels = zlib.decompress(body)
    return zlib.compress(pixels[: int(chance.uniform(0.1, 0.9) * len(pixels))])


def _patched(name: str, old: bytes, new: bytes) -> Make:
    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image, name)
        assert old in data
        return data.replace(old, new, 1)

    return make


def _at(name: str, offset: int, new: bytes) -> Make:
    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image, name)
        return data[:offset] + new + data[offset + len(new) :]

    return make


def _fixed(content: bytes) -> Make:
    return lambda image, chance: content


def _with(before: bytes = b"", after: bytes = b"", name: str = "jpg") -> Make:
    return lambda image, chance: before + saved(image, name) + after


def _segments(*segments: bytes) -> Make:
    """Return a JPEG with these segments at its start."""

    def make(image: Image.Image, chance: Random) -> bytes:
        data = saved(image)
        return data[:2] + b"".join(segments) + data[2:]

    return make


def _exif(count: int, entries: bytes, following: int) -> Make:
    body = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + struct.pack("<I", following)
    return _segments(segment(0xE1, b"Exif\0\0" + body))


def _of(mode: str, name: str, **options: Any) -> Make:
    def make(image: Image.Image, chance: Random) -> bytes:
        gray = image.convert("L") if mode in ("I;16", "F", "I") else image
        return saved(gray.convert(mode), name, **options)

    return make


def _animated(name: str) -> Make:
    def make(image: Image.Image, chance: Random) -> bytes:
        others = [image.rotate(angle) for angle in (90, 180)]
        return saved(image, name, save_all=True, append_images=others)

    return make


def _sparse(path: Path, good: Path, chance: Random) -> None:
    path.write_bytes(good.read_bytes())
    os.truncate(path, 3 * 2**30)


def _loop(path: Path, good: Path, chance: Random) -> None:
    path.symlink_to(path.name)


def _unreadable(path: Path, good: Path, chance: Random) -> None:
    path.write_bytes(good.read_bytes())
    path.chmod(0)


_JPEG_TYPES: Final = struct.pack("<HHII", 274, 3, 1, 9)
_ICC: Final = b"ICC_PROFILE\0\1\1"
_TEXT: Final = b"The pictures are on the other disk.\n" * 9
KINDS: Final[dict[str, Kind]] = {
    # Not images
    "empty": Kind("jpg", _fixed(b"")),
    "one byte": Kind("png", _fixed(b"\xff")),
    "a signature": Kind("png", _fixed(_PNG)),
    "a start of image": Kind("jpg", _fixed(b"\xff\xd8\xff")),
    "text": Kind("jpg", _fixed(_TEXT)),
    "a web page": Kind("png", _fixed(b"<!DOCTYPE html><title>404</title>" + _TEXT)),
    "JSON": Kind("webp", _fixed(b'{"error": "not found"}')),
    "PDF": Kind("jpg", _fixed(b"%PDF-1.7\n" + _TEXT)),
    "SVG": Kind("png", _fixed(b'<svg xmlns="http://www.w3.org/2000/svg"/>')),
    "a video": Kind("jpg", _fixed(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200))),
    "a program": Kind("jpg", _fixed(b"\x7fELF\2\1\1" + bytes(500))),
    "a pointer": Kind("png", _fixed(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
    "zeros": Kind("jpg", _fixed(bytes(5_000))),
    "ones": Kind("jpg", _fixed(b"\xff" * 5_000)),
    "random bytes": Kind("jpg", lambda image, chance: b"\x99" + chance.randbytes(3_000)),
    "PostScript": Kind("png", _fixed(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
    # Cut off
    **{f"{name} cut": Kind(name, _cut(name)) for name in _FORMATS},
    "jpg cut at the end": Kind("jpg", _cut("jpg", 0.9, 0.99)),
    "png cut at the end": Kind("png", _cut("png", 0.9, 0.99)),
    "jpg cut and closed": Kind("jpg", _closed("jpg")),
    "progressive cut and closed": Kind("jpg", _closed("progressive.jpg")),
    # Zeros at the end, where a download did not get to
    **{
        f"{name} with zeros": Kind(
            name, _zero_tail(name), Use.ANY if name in _UNCHECKED else Use.REFUSED
        )
        for name in _FORMATS
        if name not in ("ppm", "pcx", "sgi", "progressive.jpg", "dds", "ico", "tga")
    },
    # Headers that claim something else
    "jpg of more lines": Kind("jpg", _frame(lambda h, w, c: (h + c.randint(16, 500), w))),
    "jpg of 65,500 lines": Kind("jpg", _frame(lambda h, w, c: (65_500, 65_500))),
    "jpg of no lines": Kind("jpg", _frame(lambda h, w, c: (0, w))),
    "png of more lines": Kind("png", _png_header(height=300)),
    "png of 10^9 pixels": Kind("png", _png_header(width=40_000, height=40_000)),
    "png of 2^31 lines": Kind("png", _png_header(height=2**31)),
    "png of no color type": Kind("png", _png_header(color=5)),
    "png of 16 bits": Kind("png", _png_header(bits=16)),
    "png of fewer rows": Kind("png", _png_pixels(_fewer_rows)),
    "png with a flipped bit": Kind("png", _flipped_png),
    "png with a wrong checksum": Kind(
        "png", _png_pixels(lambda body, c: body, checksum=1), Use.ANY
    ),
    "png without pixels": Kind("png", _png_pixels(lambda body, c: b"")),
    "gif of 65,535 lines": Kind("gif", _at("gif", 6, b"\xff\xff\xff\xff")),
    "bmp of 2^31 lines": Kind("bmp", _at("bmp", 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1))),
    "bmp of negative width": Kind("bmp", _at("bmp", 18, struct.pack("<i", -90))),
    "tif of a far directory": Kind("tif", _at("tif", 4, b"\xff\xff\xff\x7f")),
    "tif of a directory in a loop": Kind("tif", _at("tif", 4, b"\0\0\0\0")),
    "webp of another length": Kind("webp", _at("webp", 4, b"\xff\xff\xff\x7f"), Use.ANY),
    "bytes swapped": Kind(
        "jpg", lambda image, c: b"".join(saved(image)[i : i + 2][::-1] for i in range(0, 900, 2))
    ),
    # Whole, whatever surrounds them
    "png named jpg": Kind("jpg", _with(name="png"), Use.SAME, "png"),
    "jpg named png": Kind("png", _with(), Use.SAME),
    "jpg and noise": Kind("jpg", lambda image, c: saved(image) + c.randbytes(900), Use.SAME),
    "png and noise": Kind(
        "png", lambda image, c: saved(image, "png") + c.randbytes(900), Use.SAME, "png"
    ),
    "jpg behind a line break": Kind("jpg", _with(b"\r\n"), Use.SAME),
    "jpg with an exif loop": Kind("jpg", _exif(1, _JPEG_TYPES, 8), Use.SAME),
    "jpg with exif cut": Kind("jpg", _exif(900, _JPEG_TYPES, 0), Use.SAME),
    "jpg with a broken profile": Kind("jpg", _segments(segment(0xE2, _ICC + _TEXT)), Use.SAME),
    "jpg with half a profile": Kind(
        "jpg", _segments(segment(0xE2, _ICC[:-1] + b"\2" + _TEXT)), Use.SAME
    ),
    # Unusual, and to be read
    "cmyk": Kind("jpg", _of("CMYK", "jpg"), Use.USED),
    "gray of 16 bits": Kind("png", _of("I;16", "png"), Use.USED),
    "palette": Kind("png", _of("P", "png"), Use.USED),
    "black and white": Kind("tif", _of("1", "tif"), Use.USED),
    "float": Kind("tif", _of("F", "tif"), Use.USED),
    "opacity": Kind("webp", _of("RGBA", "lossless.webp"), Use.USED),
    "animated gif": Kind("gif", _animated("gif"), Use.USED),
    "animated webp": Kind("webp", _animated("webp"), Use.USED),
    "animated png": Kind("png", _animated("png"), Use.USED),
    "two pages": Kind("tif", _animated("tif"), Use.USED),
    # Not ordinary files
    "pipe": Kind("jpg", place=lambda path, good, c: os.mkfifo(path)),
    "broken link": Kind("jpg", place=lambda path, good, c: path.symlink_to("nowhere.jpg")),
    "link to itself": Kind("png", place=_loop),
    "link to an image": Kind("jpg", place=lambda p, good, c: p.symlink_to(good), use=Use.USED),
    "link to a device": Kind("jpg", place=lambda path, good, c: path.symlink_to("/dev/zero")),
    "link to a folder": Kind("jpg", place=lambda path, good, c: path.symlink_to(".."), use=Use.ANY),
    "folder": Kind("jpg", place=lambda path, good, c: path.mkdir(), use=Use.ANY),
    "unreadable": Kind("jpg", place=_unreadable, use=Use.ANY),
    "sparse": Kind("jpg", place=_sparse),
}
"""Name -> kind."""


def put(kind: Kind, stem: Path, good: Path, chance: Random) -> tuple[Path, bytes]:
    """Put a file of a kind somewhere.

    Returns:
        Its path, and a whole file of the picture that it shows.
    """
    image = picture("noise", chance.randrange(1_000))
    path = stem.with_name(f"{stem.name}.{kind.ending}")
    if kind.place is not None:
        kind.place(path, good, chance)
    elif kind.make is not None:
        path.write_bytes(kind.make(image, chance))
    return path, saved(image, kind.shows)
