"""Made-up photos and copies of them."""

import numpy as np
from PIL import Image, ImageOps

from headstart.images.alignment import thumbnail

COUNT = 40


def scene(seed: int, width: int = 200, height: int = 150) -> Image.Image:
    """Smooth random shapes in color, different for each seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def thumbnails(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([thumbnail(one).clip(0, 255).astype(np.uint8) for one in pictures])


def scenes_and_copies() -> np.ndarray:
    """Thumbnails of 40 scenes, and of the first five half, mirrored, cropped, gray, brighter."""
    scenes = [scene(seed) for seed in range(COUNT)]
    width, height = scenes[0].size
    copies = [
        scenes[0].reduce(2),
        ImageOps.mirror(scenes[1]),
        scenes[2].crop((0, 10, round(0.9 * width), 10 + round(0.9 * height))),
        scenes[3].convert("L").convert("RGB"),
        Image.eval(scenes[4], lambda value: min(255, value + 40)),
    ]
    return thumbnails([*scenes, *copies])


def labels(count: int) -> np.ndarray:
    return np.arange(count) % 2
