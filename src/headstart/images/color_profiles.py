"""Conversion from the color space of an image's ICC profile to sRGB."""

import io
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from headstart.types import Doubles, Pixels

_MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Color spaces of profiles, and the modes of their images."""
_D50: Final = np.array([0.96422, 1.0, 0.82521])
_XYZ_TO_SRGB: Final = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
"""Linear sRGB of XYZ that is relative to D50, adapted by Bradford's method (Lindbloom)."""
_SAME, _SIMILAR = 1, 12
"""Levels by which a profile, and one that calls itself sRGB, may differ from sRGB."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image without transparency to RGB, according to its profile if it has a valid one.

    A profile that is sRGB within rounding, as most cameras and programs embed it, changes nothing.
    """
    if image.mode == "LAB":
        lab = np.asarray(image)  # whose axes are signed; the library would round between steps
        axes = lab[:, :, 1:].view(np.int8)
        rows = (
            lab_levels(light * (100 / 255), row)
            for light, row in zip(lab[:, :, 0], axes, strict=True)
        )
        return Image.fromarray(np.stack(list(rows)))
    if profile:
        space = _color_space(profile)
        if space == "RGB" and image.mode not in ("RGB", "CMYK"):  # also of grays and palettes
            image = image.convert("RGB")
        if image.mode == space and (transform := _transform(profile, space)):
            return _applied(image, transform)
    return image if image.mode == "RGB" else image.convert("RGB")


def lab_levels(lightness: Doubles, axes: npt.NDArray[Any]) -> Pixels:
    """Convert CIELAB to levels of sRGB.

    Args:
        lightness: (N,) L*, 0 to 100.
        axes: (N, 2) a* and b*, relative to the white D50 as in ICC profiles.

    Returns:
        (N, 3) uint8.
    """
    y = (lightness + 16) / 116
    roots = np.stack([y + axes[:, 0] / 500, y, y - axes[:, 1] / 200], axis=1)
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * (108 / 841)) * _D50
    linear = (xyz @ _XYZ_TO_SRGB.T).clip(0, 1)
    shares = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    levels: Pixels = np.rint(shares * 255).astype(np.uint8)
    return levels


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    return cast("Image.Image", ImageCms.applyTransform(image, transform))


@lru_cache(maxsize=64)
def _color_space(profile: bytes) -> str | None:
    """Return the mode of the images that a profile describes; None if it is damaged."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        return _MODES.get(opened.xcolor_space.strip())
    except Exception:  # noqa: BLE001 - damaged metadata do not affect the pixels
        return None


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion to sRGB; None if it would change nothing, or is impossible."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(opened, _srgb(), mode, "RGB")
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        after = np.asarray(_applied(probe, transform), np.int16)
        before = np.asarray(probe.convert("RGB"), np.int16)
        named = "srgb" in ImageCms.getProfileDescription(opened).lower()
    except Exception:  # noqa: BLE001 - damaged metadata do not affect the pixels
        return None
    same = np.abs(after - before).max() <= (_SIMILAR if named else _SAME)
    return None if same else transform


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _probe(mode: str) -> Image.Image:
    """Return an image of all grays, or of colors on a grid of 16 steps in each channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    return Image.fromarray(
        np.stack(np.meshgrid(steps, steps, steps), -1).reshape(len(steps), -1, 3)
    )
