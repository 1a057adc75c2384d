"""Generated images as large, as detailed and as costly to decode as photographs, free of rights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

_CROPS = 20
"""Images cropped from each generated one, because generating takes longer than decoding."""
_MARGIN = 40
"""Range in pixels of the crops' corners."""


def photographs(folder: Path, size: tuple[int, int], count: int) -> Iterator[Path]:
    """Write `count` different JPEGs of quality 90; `size` is (width, height) in pixels."""
    rng = np.random.default_rng(0)
    width, height = size
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        if number % _CROPS == 0:
            whole = _photograph(rng, width + _MARGIN, height + _MARGIN)
            corners = rng.choice(_MARGIN**2, _CROPS, replace=False)
        top, left = divmod(int(corners[number % _CROPS]), _MARGIN)
        path = folder / f"{width}x{height}-{number}.jpg"
        whole.crop((left, top, left + width, top + height)).save(path, quality=90)
        yield path


def _photograph(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Generate noise with the spectrum of photographs: amplitude 1 / frequency."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(down, across), 1 / max(width, height))
    planes = []
    for _ in range(4):
        noise = np.fft.rfft2(rng.standard_normal((height, width), dtype=np.float32))
        plane = np.fft.irfft2(noise * falling, s=(height, width))
        planes.append(plane / plane.std())
    # Brightness varies more than color; each image has its own tint.
    channels = np.stack([planes[0] + 0.3 * plane for plane in planes[1:]], axis=-1)
    tint = rng.normal(0, 20, 3)
    return Image.fromarray(np.clip(128 + tint + 50 * channels, 0, 255).astype(np.uint8))
