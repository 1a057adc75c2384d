"""HEIF and AVIF files: what codec the main image has, and how it is cropped.

Both formats are the same container and share its brands, so only the item itself says which library
can decode it.
"""

import struct
from dataclasses import dataclass
from typing import Final

from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.boxes import Box, box, boxes
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import load

_HEVC: Final = frozenset({b"hvc1", b"hev1", b"lhv1"})
_CODECS: Final = {
    b"avc1": "AVC",
    b"vvc1": "VVC",
    b"evc1": "EVC",
    b"unci": "uncompressed pixels",
    b"jpeg": "JPEG",
    b"j2k1": "JPEG 2000",
    b"hxS1": "JPEG XS",
    b"jxs1": "JPEG XS",
    b"mski": "a mask",
}
_MEMORY: Final = 10
"""Bytes that a pixel takes while it is decoded."""
_AVIF_BRANDS: Final = (b"avif", b"avis")


@dataclass(frozen=True, slots=True)
class MainImage:
    """The primary item of a file.

    Attributes:
        codec: the type of the item, or of its first tile; None if the file does not say.
        size: its (width, height) before cropping and turning.
        crop: the (left, top, right, bottom) that is shown of it; None for all.
    """

    codec: bytes | None = None
    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None


def read_heif(content: bytes, _: NoteCallback) -> Image.Image:
    """Read the main image of a HEIF or AVIF file, whatever its brands are."""
    main = main_image(content)
    if main.size is not None:
        check_size(*main.size, pixel_bytes=_MEMORY)
    brands = content[8 : min(int.from_bytes(content[:4], "big"), 512)]
    is_avif = any(brand in brands for brand in _AVIF_BRANDS)
    if main.codec == b"av01" or (main.codec is None and is_avif):
        # libavif insists on the brand.
        content = content if is_avif else content[:8] + _AVIF_BRANDS[0] + content[12:]
        image = load("AVIF", content)
        return image if main.crop is None else _cropped(image, main.crop)
    if main.codec is None and not is_avif and box(content, b"moov") is not None:
        raise UnreadableImageError("not supported: HEIF sequence without a still image")
    if main.codec is not None and main.codec not in _HEVC:
        codec = _CODECS.get(main.codec) or ascii(main.codec.decode("latin-1"))
        raise UnreadableImageError(f"not supported: HEIF with {codec}")
    return load("HEIF", content)


def _cropped(image: Image.Image, crop: tuple[int, int, int, int]) -> Image.Image:
    cropped = image.crop(crop)
    cropped.info = image.info  # with the orientation, which applies to what is left
    return cropped


def main_image(content: bytes) -> MainImage:
    """Return what the metadata say of the primary item; nothing if they are damaged."""
    try:
        meta = box(content, b"meta")
        return MainImage() if meta is None else _main_image({one.kind: one for one in boxes(meta)})
    except (struct.error, IndexError, KeyError, ZeroDivisionError):
        return MainImage()


def _main_image(meta: dict[bytes, Box]) -> MainImage:
    primary = meta[b"pitm"].content
    item = _number(primary, 4, wide=primary[0] > 0)
    kinds = _item_types(meta[b"iinf"].content)
    size, crop = None, None
    for one in _properties(meta[b"iprp"].content, item):
        if one.kind == b"ispe":
            size = struct.unpack_from(">II", one.content, 4)
        elif one.kind == b"clap" and size is not None:
            crop = _crop(one.content, size)
    codec = kinds.get(item)
    tiles = _derived_from(meta[b"iref"].content, item) if b"iref" in meta else None
    return MainImage(codec if tiles is None else kinds.get(tiles, codec), size, crop)


def _number(data: bytes, at: int, *, wide: bool) -> int:
    return int(struct.unpack_from(">I" if wide else ">H", data, at)[0])


def _item_types(iinf: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for one in boxes(iinf[6 if iinf[0] == 0 else 8 :]):
        version = one.content[0]
        if one.kind == b"infe" and version >= 2:
            at = 4 + (4 if version > 2 else 2) + 2
            found[_number(one.content, 4, wide=version > 2)] = one.content[at : at + 4]
    return found


def _properties(iprp: bytes, item: int) -> list[Box]:
    """Return the properties of an item, in the order in which they apply."""
    ipco, ipma = box(iprp, b"ipco"), box(iprp, b"ipma")
    if ipco is None or ipma is None:
        return []
    properties = list(boxes(ipco))
    version, wide = ipma[0], ipma[3] & 1
    (entries,) = struct.unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(entries):
        owner = _number(ipma, at, wide=version > 0)
        at += 4 if version > 0 else 2
        count, step = ipma[at], 2 if wide else 1
        at += 1
        if owner == item:
            codes = ipma[at : at + count * step]
            indexes = struct.unpack(f">{count}{'H' if wide else 'B'}", codes)
            places = [index & (0x7FFF if wide else 0x7F) for index in indexes]
            return [properties[place - 1] for place in places if place]
        at += count * step
    return []


def _derived_from(iref: bytes, item: int) -> int | None:
    """Return the first item of which a grid or an overlay is composed."""
    wide = iref[0] > 0
    for one in boxes(iref[4:]):
        if one.kind == b"dimg" and _number(one.content, 0, wide=wide) == item:
            return _number(one.content, 6 if wide else 4, wide=wide)
    return None


def _crop(clap: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the clean aperture, given by fractions around the center; None if it is not valid."""
    numbers = struct.unpack_from(">IIIIiIiI", clap)
    width, height, right, down = (numbers[i] / numbers[i + 1] for i in (0, 2, 4, 6))
    left, top = (size[0] - width) / 2 + right, (size[1] - height) / 2 + down
    edges = (round(left), round(top), round(left + width), round(top + height))
    inside = 0 <= edges[0] < edges[2] <= size[0] and 0 <= edges[1] < edges[3] <= size[1]
    return edges if inside else None
