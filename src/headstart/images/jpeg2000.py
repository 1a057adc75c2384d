"""Reading of JPEG 2000 files: JP2 and bare codestreams.

Pillow decodes the components but ignores what the file says of their meaning, and it misreads
components of some sizes and depths; those are left to OpenJPEG in imagecodecs.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.boxes import box, boxes
from headstart.images.depth import ImageRows, Stated, scaled, scaled_alpha
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import extra_module, load

_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_RGB, _LAB, _YCC = 16, 14, 18
"""Enumerated color spaces; the channels of others keep their order."""
_SUBSAMPLED: Final = (((1, 1), (2, 1), (2, 1)), ((1, 1), (2, 2), (2, 2)))
"""The steps of 4:2:2 and 4:2:0."""
_COLOR, _OPACITY, _PREMULTIPLIED = range(3)


@dataclass(frozen=True, slots=True)
class Components:
    """What the codestream consists of.

    Attributes:
        size: (width, height) of the image.
        bits: depth of each component.
        steps: horizontal and vertical distance of each component's samples, in pixels.
        signed: whether one is signed.
    """

    size: tuple[int, int]
    bits: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]
    signed: bool

    @property
    def subsampled(self) -> bool:
        """Whether the components have different numbers of samples, as luma and chroma have."""
        return len(set(self.steps)) > 1

    @property
    def misread(self) -> bool:
        """Whether Pillow takes the samples of one row for those of another, or wraps white."""
        width, height = self.size
        uneven = any(width % across or height % down for across, down in self.steps)
        return uneven or (len(self.bits) > 1 and max(self.bits) > 8)


def read_jpeg2000(content: bytes, on_note: NoteCallback) -> Image.Image:
    """Read a JPEG 2000 file, with its channels in the order that it states."""
    components = _components(content)
    count = len(components.bits)
    each = 10 if components.misread else 6
    check_size(*components.size, pixel_bytes=each * count + 1)
    if count > 4:
        raise UnreadableImageError(f"not supported: JPEG 2000 with {count} channels")
    header = box(content, b"jp2h") or b""
    space = _color_space(header)
    channels = _channels(header, count)
    if not header and count in (2, 4):  # a bare codestream says nothing of its channels
        channels[-1] = (_OPACITY, 0)
    if components.misread:  # OpenJPEG applies the definition of the channels
        space = _RGB if space == _YCC else space
        channels = sorted(channels, key=lambda channel: (channel[0] != _COLOR, channel[1]))
    elif space == _YCC and channels[:3] != _in_order(3):
        # Pillow would convert the channels to RGB as they are stored.
        content = content.replace(_enumerated(_YCC), _enumerated(_RGB), 1)
    elif space == _YCC:
        space = _RGB
    opaque = sum(kind == _COLOR for kind, _ in channels)
    image = _decoded(content, components, opaque, on_note)
    if image.mode in ("P", "PA", "CMYK"):
        return image
    if min(components.bits) < 8 and not components.misread:
        image = image.point([level for bits in components.bits for level in _stretched(bits)])
    arranged = _arranged(image, channels, space, header)
    if profile := _profile(header):
        arranged.info["icc_profile"] = profile
    return arranged


def _stretched(bits: int) -> list[int]:
    """Return the levels for a component's samples, of which Pillow only moves the bits up."""
    top = ((1 << bits) - 1) << max(0, 8 - bits)
    return [min(255, round(level * 255 / top)) if bits < 8 else level for level in range(256)]


def _components(content: bytes) -> Components:
    start = content.find(_CODESTREAM)
    if start < 0:
        raise UnreadableImageError("truncated")
    right, bottom, left, top = struct.unpack_from(">IIII", content, start + 8)
    (count,) = struct.unpack_from(">H", content, start + 40)
    each = [struct.unpack_from(">BBB", content, start + 42 + 3 * i) for i in range(count)]
    if not each or any(0 in (across, down) for _, across, down in each):
        raise UnreadableImageError("damaged JPEG 2000: no size of its components")
    return Components(
        (right - left, bottom - top),
        tuple((bits & 127) + 1 for bits, _, _ in each),
        tuple((across, down) for _, across, down in each),
        any(bits & 128 for bits, _, _ in each),
    )


def _color_space(header: bytes) -> int | None:
    """Return the number of the enumerated color space, if there is one."""
    for one in boxes(header):
        if one.kind == b"colr" and one.content[0] == 1:
            return int.from_bytes(one.content[3:7], "big")
    return None


def _profile(header: bytes) -> bytes | None:
    """Return the color profile that is given instead of an enumerated color space."""
    return next(
        (
            one.content[3:]
            for one in boxes(header)
            if one.kind == b"colr" and one.content[0] in (2, 3)
        ),
        None,
    )


def _enumerated(space: int) -> bytes:
    return b"colr\x01\0\0" + struct.pack(">I", space)


def _decoded(
    content: bytes, components: Components, colors: int, on_note: NoteCallback
) -> Image.Image:
    """Return an image of 8 bits per channel, of which the first ones are colors."""
    bits = max(components.bits)
    stated = Stated() if bits == 16 else Stated(high=2.0**bits - 1)
    if not components.misread:
        image = load("JPEG2000", content)
        if image.mode != "I;16":
            return image
        if bits < 16:  # Pillow has scaled them
            stated = Stated(high=65535.0)
        return Image.fromarray(scaled(ImageRows(image), stated, on_note=on_note))
    if components.subsampled and components.steps not in _SUBSAMPLED:
        raise UnreadableImageError("not supported: JPEG 2000 of odd size with this subsampling")
    openjpeg = extra_module("imagecodecs", "this kind of JPEG 2000", "tiff")
    samples = openjpeg.jpeg2k_decode(content)
    if components.signed:
        samples = (samples.astype(np.int32) + (1 << (bits - 1))).astype(np.uint16)
    if samples.ndim == 2:
        return Image.fromarray(scaled(samples, stated, on_note=on_note))
    levels = scaled(samples[:, :, :colors], stated, on_note=on_note)
    others = [
        scaled_alpha(samples[:, :, channel], samples[:, :, :colors], stated)
        for channel in range(colors, samples.shape[2])
    ]
    return Image.fromarray(np.dstack([levels, *others]))


def _in_order(count: int) -> list[tuple[int, int]]:
    return [(_COLOR, index + 1) for index in range(count)]


def _channels(header: bytes, count: int) -> list[tuple[int, int]]:
    """Return the type and the color (from 1) of each component; without a definition, in order."""
    channels = _in_order(count)
    definition = box(header, b"cdef") or b""
    for index, kind, color in struct.iter_unpack(">HHH", definition[2 : 2 + 6 * count]):
        if index < count:
            channels[index] = (kind, color)
    return channels


def _arranged(
    image: Image.Image, channels: list[tuple[int, int]], space: int | None, header: bytes
) -> Image.Image:
    """Put the colors into their order, and make the opacity the last channel.

    Further channels, such as near infrared, are left out.
    """
    bands = image.split()
    colors = {color: bands[i] for i, (kind, color) in enumerate(channels) if kind == _COLOR}
    if 1 not in colors:
        raise UnreadableImageError("damaged JPEG 2000: no channel has the first color")
    is_color = 2 in colors and 3 in colors
    if is_color and space == _LAB:
        return Image.merge("LAB", [colors[1], *_lab_axes(colors[2], colors[3], header)])
    mode = "YCbCr" if space == _YCC else "RGB"
    arranged = Image.merge(mode, [colors[1], colors[2], colors[3]]) if is_color else colors[1]
    if is_color and space == _YCC:
        arranged = arranged.convert("RGB")
    for i, (kind, _) in enumerate(channels):
        if kind == _OPACITY:
            arranged.putalpha(bands[i])
        elif kind == _PREMULTIPLIED:
            arranged = arranged.convert("RGB")
            arranged = Image.merge("RGBa", [*arranged.split(), bands[i]]).convert("RGBA")
    return arranged


def _lab_axes(a: Image.Image, b: Image.Image, header: bytes) -> list[Image.Image]:
    """Move a* and b* from their ranges, by default [-85, 85] and [-75, 125], to [-128, 127]."""
    ranges = ((170, 128), (200, 96))
    content = box(header, b"colr") or b""
    if len(content) >= 35:
        numbers = struct.unpack_from(">6I", content, 7)
        ranges = ((numbers[2], numbers[3]), (numbers[4], numbers[5]))
    return [
        band.point([min(255, max(0, round((v - zero) * span / 255) + 128)) for v in range(256)])
        for band, (span, zero) in zip((a, b), ranges, strict=True)
    ]
