"""What the tags of a TIFF file say about the pixels of its first page."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from headstart.errors import UnreadableImageError
from headstart.images.depth import Stated

Tags: TypeAlias = dict[int, tuple[Any, ...]]

_TYPES: Final = dict(zip((1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 16, 17), "BsHIbshifdQq", strict=True))
"""The field types that the tags below have, as `struct` calls them."""
_RATIONAL: Final = 5
_OLD_JPEG: Final = 6
_PLAIN_COMPRESSIONS: Final = frozenset({1, 5, 8, 32773, 32946, 33003, 34925, 50000})
"""Compressions of bytes, and one of images (Aperio's JPEG 2000) that leaves colors as they are."""


class _Tag(IntEnum):
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    BYTE_COUNTS = 279
    MAX_SAMPLE = 281
    PLANAR = 284
    T4_OPTIONS = 292
    T6_OPTIONS = 293
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    INK_SET = 332
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    S_MIN_SAMPLE = 340
    S_MAX_SAMPLE = 341
    JPEG_TABLES = 347
    SUBSAMPLING = 530
    REFERENCE = 532
    PROFILE = 34675
    NO_DATA = 42113


class Photometric(IntEnum):
    """What samples mean."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    MASK = 4
    CMYK = 5
    YCBCR = 6
    CIELAB = 8
    ICCLAB = 9


class Format(IntEnum):
    """How the bits of a sample are a number."""

    UNSIGNED = 1
    SIGNED = 2
    FLOAT = 3
    UNDEFINED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffLayout:
    """The first page.

    Attributes:
        big_endian: the byte order of the file.
        is_big: whether it is a BigTIFF, with offsets of 8 bytes.
        width: in pixels.
        height: in pixels.
        bits: bits of each sample of a pixel, one for each channel.
        formats: its number format, one for each channel; see `Format`.
        compression: the number of the scheme.
        photometric: what the samples mean, a `Photometric` or another number.
        planar: whether the channels follow each other, instead of being interleaved.
        extra: the meaning of each channel beyond the colors: 1 and 2 are opacity, 0 is unstated.
        tags: the tags listed in `_Tag`.
    """

    big_endian: bool
    is_big: bool
    width: int
    height: int
    bits: tuple[int, ...]
    formats: tuple[int, ...]
    compression: int
    photometric: int
    planar: bool
    extra: tuple[int, ...]
    tags: Tags

    @classmethod
    def of(cls, content: bytes) -> "TiffLayout":
        """Read the tags of a file.

        Raises:
            UnreadableImageError: they are cut off or have no image.
        """
        big_endian, is_big = content[:1] == b"M", content[2:4] in (b"+\0", b"\0+")
        try:
            tags = _read_tags(content, ">" if big_endian else "<", is_big=is_big)
            width, height = int(tags[_Tag.WIDTH][0]), int(tags[_Tag.HEIGHT][0])
        except struct.error as error:
            raise UnreadableImageError("truncated") from error
        except (KeyError, ValueError) as error:
            raise UnreadableImageError("damaged TIFF: no size") from error
        count = int(tags.get(_Tag.SAMPLES, (1,))[0])
        compression = int(tags.get(_Tag.COMPRESSION, (1,))[0])
        # Without the tag, readers guess.
        guessed = 2 if count >= 3 else int(compression not in (2, 3, 4))
        return cls(
            big_endian=big_endian,
            is_big=is_big,
            width=width,
            height=height,
            bits=_for_each(tags.get(_Tag.BITS, (1,)), count),
            formats=_for_each(tags.get(_Tag.SAMPLE_FORMAT, (1,)), count),
            compression=compression,
            photometric=int(tags.get(_Tag.PHOTOMETRIC, (guessed,))[0]),
            planar=int(tags.get(_Tag.PLANAR, (1,))[0]) == 2 and count > 1,
            extra=tags.get(_Tag.EXTRA_SAMPLES, ()),
            tags=tags,
        )

    @property
    def guesses_photometric(self) -> bool:
        """Whether the file does not say what samples mean, and Pillow would guess otherwise."""
        return _Tag.PHOTOMETRIC not in self.tags and self.photometric != Photometric.WHITE_IS_ZERO

    @property
    def channels(self) -> int:
        """Number of samples of a pixel."""
        return len(self.bits)

    @property
    def is_uniform(self) -> bool:
        """Whether all channels have the same depth and number format."""
        return len(set(self.bits)) == 1 and len(set(self.formats)) == 1

    @property
    def stores_ycbcr(self) -> bool:
        """Whether decompressed samples of YCbCr are such; codecs of images convert them to RGB."""
        return self.compression in _PLAIN_COMPRESSIONS

    @property
    def is_subsampled(self) -> bool:
        """Whether YCbCr has fewer samples of color than of luma, outside of images in images."""
        is_ycbcr = self.photometric == Photometric.YCBCR and self.stores_ycbcr
        return is_ycbcr and self.subsampling != (1, 1)

    @property
    def predictor(self) -> int:
        """How samples are replaced by differences; 1 for not at all."""
        return int(self.tags.get(_Tag.PREDICTOR, (1,))[0])

    @property
    def orientation(self) -> int:
        """As in EXIF, 1 to 8."""
        return int(self.tags.get(_Tag.ORIENTATION, (1,))[0])

    @property
    def inks(self) -> int:
        """The kind of inks of a separation: 1 is CMYK."""
        return int(self.tags.get(_Tag.INK_SET, (1,))[0])

    @property
    def color_map(self) -> tuple[int, ...]:
        """The colors of a palette: all red values, all green ones, all blue ones."""
        return self.tags.get(_Tag.COLOR_MAP, ())

    @property
    def subsampling(self) -> tuple[int, int]:
        """How many pixels, across and down, share one value of Cb and Cr."""
        across, down = self.tags.get(_Tag.SUBSAMPLING, (2, 2))[:2]
        return int(across), int(down)

    @property
    def reference(self) -> tuple[float, ...]:
        """The values of black and white of Y, Cb and Cr."""
        found = self.tags.get(_Tag.REFERENCE, ())
        return found if len(found) == 6 else (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)

    @property
    def profile(self) -> bytes | None:
        """The ICC profile."""
        found = self.tags.get(_Tag.PROFILE, ())
        return found[0] if found and isinstance(found[0], bytes) else None

    @property
    def strips(self) -> tuple[tuple[int, int], ...]:
        """The (offset, length) of each strip; empty for tiles."""
        return self._pairs(_Tag.OFFSETS, _Tag.BYTE_COUNTS)

    @property
    def rows_per_strip(self) -> int:
        """Number of rows in all strips but the last."""
        stated = int(self.tags.get(_Tag.ROWS_PER_STRIP, (self.height,))[0])
        return min(self.height, stated) or self.height

    @property
    def segment_size(self) -> tuple[int, int]:
        """The (width, height) of all tiles, or of all strips but the last."""
        if _Tag.OFFSETS in self.tags:
            return self.width, self.rows_per_strip
        across, down = (
            max(1, int(self.tags.get(tag, (1,))[0])) for tag in (_Tag.TILE_WIDTH, _Tag.TILE_HEIGHT)
        )
        return across, down

    @property
    def plane_segments(self) -> int:
        """How many strips or tiles have all pixels, of one channel if the channels are planar."""
        across, down = self.segment_size
        return -(-self.width // across) * -(-self.height // down)

    @property
    def needed_segments(self) -> int:
        """How many strips or tiles have all pixels of all channels."""
        return self.plane_segments * (self.channels if self.planar else 1)

    @property
    def is_complete(self) -> bool:
        """Whether there are strips or tiles for all pixels; readers leave the others black."""
        stored = self.tags.get(_Tag.OFFSETS, ()) or self.tags.get(_Tag.TILE_OFFSETS, ())
        if not stored:
            return self.compression == _OLD_JPEG  # which may have other tags
        return len(stored) >= self.needed_segments

    @property
    def last_byte(self) -> int:
        """The least size of a whole file."""
        return max((start + length for start, length in self.segments), default=0)

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The (offset, length) of each strip and tile; those without an offset were never written.

        Where one has no length although it has an offset, its pixels are missing.
        """
        return self.strips + self._pairs(_Tag.TILE_OFFSETS, _Tag.TILE_BYTE_COUNTS)

    @property
    def segment_bytes(self) -> int:
        """Memory of the samples of one strip or tile."""
        width = int(self.tags.get(_Tag.TILE_WIDTH, (self.width,))[0])
        rows = int(self.tags.get(_Tag.TILE_HEIGHT, (self.rows_per_strip,))[0])
        return width * rows * sum(self.bits) // 8 // (self.channels if self.planar else 1)

    @property
    def jpeg_tables(self) -> bytes:
        """What all JPEG files in this file share; they are abbreviated without it."""
        found = self.tags.get(_Tag.JPEG_TABLES, ())
        return found[0] if found and isinstance(found[0], bytes) else b""

    @property
    def fax_options(self) -> Mapping[int, int]:
        """The tags, by number, that a decoder of faxes needs besides sizes."""
        known = (_Tag.PHOTOMETRIC, _Tag.FILL_ORDER, _Tag.T4_OPTIONS, _Tag.T6_OPTIONS)
        return {int(tag): int(self.tags[tag][0]) for tag in known if tag in self.tags}

    def _pairs(self, first: _Tag, second: _Tag) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self.tags.get(first, ()), self.tags.get(second, ()), strict=False))

    @property
    def stated(self) -> Stated:
        """What the file says about the range of its samples."""
        bits, no_data = max(self.bits), _number(self.tags.get(_Tag.NO_DATA, ()))
        high = max(map(float, self.tags.get(_Tag.S_MAX_SAMPLE, ())), default=None)
        low = min(map(float, self.tags.get(_Tag.S_MIN_SAMPLE, ())), default=0.0)
        if high is not None and self.formats[0] != Format.UNSIGNED and high > low:
            return Stated(low=low, high=high, no_data=no_data)
        if self.formats[0] in (Format.SIGNED, Format.FLOAT):
            return Stated(no_data=no_data)
        if bits not in (16, 32, 64):
            return Stated(high=2.0**bits - 1, no_data=no_data)
        top = max(map(int, self.tags.get(_Tag.MAX_SAMPLE, ())), default=None)
        if high is None and top is not None:
            high = float(top)
        if high is not None and bits == 16:  # as a number of bits: it may be this image's largest
            depths = (2.0**used - 1 for used in (8, 10, 12, 14) if high < 2**used)
            high = next(depths, 65535.0)
        return Stated(high=high, no_data=no_data)


def _read_tags(content: bytes, order: str, *, is_big: bool) -> Tags:
    """Return the values of the tags of the first page that are listed in `_Tag`."""
    if is_big:
        (start,) = struct.unpack_from(f"{order}Q", content, 8)
        (count,) = struct.unpack_from(f"{order}Q", content, start)
        entry, inline, at = f"{order}HHQ", 8, start + 8
    else:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        entry, inline, at = f"{order}HHI", 4, start + 2
    known, step, tags = set(_Tag), struct.calcsize(entry) + inline, Tags()
    for place in range(at, at + count * step, step):
        tag, kind, number = struct.unpack_from(entry, content, place)
        if tag not in known or (kind not in _TYPES and kind != _RATIONAL):
            continue
        code, number = ("I", 2 * number) if kind == _RATIONAL else (_TYPES[kind], number)
        size, value = number * struct.calcsize(f"{order}{code}"), place + step - inline
        if size > inline:
            (value,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", content, value)
        if size > len(content) - value:  # perhaps of no importance
            continue
        values = struct.unpack_from(f"{order}{number}{code}", content, value)
        if kind == _RATIONAL:
            values = tuple(a / (b or 1) for a, b in zip(values[::2], values[1::2], strict=True))
        if values:
            tags.setdefault(tag, values)
    return tags


def _for_each(values: tuple[Any, ...], count: int) -> tuple[int, ...]:
    """Return one value for each channel; files may state one for all."""
    if count < 1 or count > 65535:
        raise UnreadableImageError(f"damaged TIFF: {count} channels")
    return tuple(map(int, (*values, *(values[-1:] * count))[:count]))


def _number(values: tuple[Any, ...]) -> float | None:
    try:
        return float(values[0].decode("ascii").strip("\0 "))
    except (IndexError, AttributeError, ValueError):
        return None
