"""Conversion from the color space of an image's ICC profile to sRGB."""

import io
from functools import lru_cache
from typing import Final, cast

import numpy as np
from PIL import Image, ImageCms

_MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Color spaces of profiles, and the modes of their images."""
_SAME, _SIMILAR = 1, 12
"""Levels by which a profile, and one that calls itself sRGB, may differ from sRGB."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image without transparency to RGB, according to its profile if it has a valid one.

    A profile that is sRGB within rounding, as most cameras and programs embed it, changes nothing.
    """
    if image.mode == "LAB":
        return _applied(image, _lab_transform())
    if profile:
        space = _color_space(profile)
        if space == "RGB" and image.mode not in ("RGB", "CMYK"):  # also of grays and palettes
            image = image.convert("RGB")
        if image.mode == space and (transform := _transform(profile, space)):
            return _applied(image, transform)
    return image if image.mode == "RGB" else image.convert("RGB")


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


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")


def _probe(mode: str) -> Image.Image:
    """Return an image of all grays, or of colors on a grid of 16 steps in each channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    return Image.fromarray(
        np.stack(np.meshgrid(steps, steps, steps), -1).reshape(len(steps), -1, 3)
    )
