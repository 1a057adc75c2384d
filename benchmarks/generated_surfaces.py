"""Generated photographs of surfaces, some with a small defect, as a quality engineer has them.

Brushed, cast and rolled metal under uneven light, with noise, dust and large stains that are no
defects. Scratches and pits are 8 to 60 pixels long and about as bright as what surrounds them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d

SIZE: Final = (1600, 1200)
"""Width and height in pixels."""
SHARES: Final[Mapping[str, int]] = MappingProxyType({"ok": 180, "scratch": 70, "pit": 50})
"""Images by class."""
_SMALLEST, _LARGEST = 8, 60


@dataclass(frozen=True, kw_only=True)
class SurfaceStyle:
    """What the surfaces are made of, and how visible their defects are.

    Attributes:
        textures: kinds of texture, of which each image has one.
        contrast: least and largest difference of a defect's brightness from that of its
            surroundings, as a share of it.
        grain: strength of the texture, as a share of the brightness.
    """

    textures: tuple[str, ...] = ("brushed", "cast", "rolled")
    contrast: tuple[float, float] = (0.25, 0.45)
    grain: float = 0.05


def write_surfaces(
    folder: Path,
    *,
    seed: int,
    style: SurfaceStyle = SurfaceStyle(),
    shares: Mapping[str, int] = SHARES,
) -> Iterator[tuple[Path, list[tuple[int, int, int, int]]]]:
    """Write images into a folder for each class; yield their paths and the boxes of their defects.

    Boxes are (left, top, right, bottom) in pixels.
    """
    rng = np.random.default_rng(seed)
    for label, count in shares.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, boxes = surface(rng, label, style)
            path = folder / label / f"{number:03d}.jpg"
            image.save(path, quality=92)
            yield path, boxes


def surface(
    rng: np.random.Generator, label: str, style: SurfaceStyle
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """Generate one image, and the boxes of its defects."""
    width, height = SIZE
    shades = 1 + style.grain * rng.uniform(0.6, 1.4) * _texture(rng, rng.choice(style.textures))
    shades += rng.uniform(0, 0.05) * _smooth(rng, rng.uniform(40, 160))  # stains
    for _ in range(rng.integers(0, 40)):  # dust
        y, x = rng.integers(0, height - 2), rng.integers(0, width - 2)
        shades[y : y + rng.integers(1, 3), x : x + rng.integers(1, 3)] += rng.uniform(-0.2, 0.3)
    boxes = []
    if label != "ok":
        for _ in range(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])):
            mask = _scratch(rng) if label == "scratch" else _pit(rng)
            rows, columns = mask.shape
            top, left = rng.integers(0, height - rows), rng.integers(0, width - columns)
            strength = rng.uniform(*style.contrast)
            shades[top : top + rows, left : left + columns] *= 1 - strength * mask
            boxes.append((int(left), int(top), int(left + columns), int(top + rows)))
    shades *= _light(rng)
    noisy = 255 * shades + rng.uniform(1, 4) * rng.standard_normal((height, width))
    gray = np.clip(noisy, 0, 255)
    tint = 1 + rng.normal(0, 0.02, 3)
    pixels = np.clip(gray[..., None] * tint, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), boxes


def _texture(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Return noise with a standard deviation of 1, (H, W)."""
    width, height = SIZE
    noise = rng.standard_normal((height, width), dtype=np.float32)
    if kind == "brushed":  # long fine lines in one direction
        axis = int(rng.integers(2))
        found = gaussian_filter1d(noise, rng.uniform(15, 60), axis=axis)
        found = gaussian_filter1d(found, 0.7, axis=1 - axis)
    elif kind == "cast":  # grains of several sizes
        found = np.zeros_like(noise)
        for sigma in (1.0, 2.5, 6.0):
            grains = gaussian_filter(rng.permuted(noise, axis=1), sigma)
            found += grains / grains.std()
    else:  # waves across, with a fine grain
        y = np.arange(height, dtype=np.float32)[:, None]
        drift = gaussian_filter1d(rng.standard_normal((height, 1)), 3, axis=0)
        waves = np.sin(2 * np.pi * y / rng.uniform(12, 40) + 3 * drift)
        found = 0.7 * waves + gaussian_filter(noise, 1.2) * 4
    scaled: np.ndarray = (found - found.mean()) / found.std()
    return scaled


def _smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Return smooth noise with a standard deviation of 1, (H, W)."""
    width, height = SIZE
    step = 8
    noise = gaussian_filter(rng.standard_normal((height // step, width // step)), sigma / step)
    large = np.asarray(Image.fromarray(noise / noise.std()).resize(SIZE, Image.Resampling.BICUBIC))
    return np.array(large, np.float32)


def _light(rng: np.random.Generator) -> np.ndarray:
    """Return the brightness of each pixel: a lamp at the side, and darker corners; (H, W)."""
    width, height = SIZE
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.2) * (np.cos(angle) * x + np.sin(angle) * y)
    found: np.ndarray = rng.uniform(0.45, 0.7) * (1 + slope) * (1 - 0.12 * (x**2 + y**2))
    return found


def _scratch(rng: np.random.Generator) -> np.ndarray:
    """Return how dark a scratch is, (h, w): a bent line that thins out, with a bright edge."""
    length, angle = _length(rng), rng.uniform(0, np.pi)
    t = np.linspace(-0.5, 0.5, 8 * _LARGEST)
    bend = rng.uniform(-0.15, 0.15)
    along, across = length * t, length * bend * (4 * t**2 - 0.5)
    x = along * np.cos(angle) - across * np.sin(angle)
    y = along * np.sin(angle) + across * np.cos(angle)
    thickness = rng.uniform(0.6, 1.3)
    taper = np.clip(3 * (1 - 2 * np.abs(t)), 0.3, 1)
    margin = 5
    columns, rows = (int(np.ptp(one)) + 2 * margin for one in (x, y))
    x, y = x - x.min() + margin, y - y.min() + margin
    grid_y, grid_x = np.mgrid[:rows, :columns]
    distance = np.hypot(grid_x[..., None] - x, grid_y[..., None] - y)
    depth = (taper * np.exp(-0.5 * (distance / thickness) ** 2)).max(-1)
    edge = np.exp(-0.5 * ((distance - 2.2 * thickness) / 0.8) ** 2).max(-1) * (depth < 0.3)
    found: np.ndarray = depth - 0.3 * edge
    return found


def _pit(rng: np.random.Generator) -> np.ndarray:
    """Return how dark a pit is, (h, w): a blot of irregular outline, brighter on one side."""
    diameter, angle = _length(rng), rng.uniform(0, np.pi)
    side = int(diameter) + 12
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    ratio = rng.uniform(0.6, 1)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = (np.cos(angle) * y - np.sin(angle) * x) / ratio
    around = np.arctan2(across, along)
    radius = diameter / 2
    for wave in (2, 3, 5):
        radius = radius * (1 + rng.normal(0, 0.06) * np.cos(wave * around + rng.uniform(0, 6.3)))
    distance = np.hypot(along, across) - radius
    inside = 1 / (1 + np.exp(distance / 0.8))
    rim = np.exp(-0.5 * ((distance - 1) / 1.2) ** 2)
    light = rng.uniform(0, 2 * np.pi)
    lit = np.clip(np.cos(np.arctan2(y, x) - light), 0, 1)
    found: np.ndarray = inside * rng.uniform(0.7, 1) - 0.8 * rim * lit
    return found


def _length(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST))))
