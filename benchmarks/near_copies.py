"""Changed copies of images, as collections of photos contain them: a generator for benchmarks."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_KEPT = 0.9
"""Share of both sides that a cropped copy keeps."""


def half_size(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Resize to half the width and height."""
    del rng
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def unchanged(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the image itself; only the compression differs."""
    del rng
    return image


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop a tenth of the width and of the height, divided at random between the sides."""
    width, height = round(image.width * _KEPT), round(image.height * _KEPT)
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def mirrored(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Swap left and right."""
    del rng
    return ImageOps.mirror(image)


def recolored(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change hue (up to 40 of 360 degrees), saturation, brightness and contrast at random."""
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(int(rng.integers(-28, 29)) % 256)
    image = Image.fromarray(hsv, "HSV").convert("RGB")
    image = ImageEnhance.Color(image).enhance(rng.choice([0.0, 0.5, 1.5]))
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.7, 1.3))
    return ImageEnhance.Contrast(image).enhance(rng.uniform(0.7, 1.3))


CHANGES: dict[str, tuple[Callable[[Image.Image, np.random.Generator], Image.Image], int]] = {
    "half": (half_size, 90),
    "jpeg": (unchanged, 50),
    "crop": (cropped, 90),
    "mirror": (mirrored, 90),
    "color": (recolored, 90),
}
"""Changes with the quality of the JPEG that is written."""


def write_copies(originals: Sequence[Path], folder: Path, *, seed: int = 0) -> list[str]:
    """Write one changed copy of each original, named after it; return the kinds of change."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.resize(list(CHANGES), len(originals)))
    for path, kind in zip(originals, kinds, strict=True):
        change, quality = CHANGES[kind]
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            changed = change(image.convert("RGB"), rng)
        changed.save(folder / f"{path.stem}-{kind}.jpg", quality=quality)
    return list(kinds)
