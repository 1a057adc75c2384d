"""Made-up results of comparisons."""

import numpy as np

from headstart.comparison.cost import Cost
from headstart.comparison.result import BackboneResult


def compared(name: str, right: np.ndarray, milliseconds: float, **changed) -> BackboneResult:
    return BackboneResult(
        **{
            "name": name,
            "right": right,
            "stages": ("head",),
            "complete": True,
            "cost": Cost(
                images_per_second=2000 / milliseconds, milliseconds=milliseconds, memory_bytes=2**27
            ),
            "pass_images_per_second": None,
            "engine": "openvino",
            "precision": "f32",
            "parameters": 4_000_000,
            "multiply_adds": None,
            "license": "MIT",
            "top1": None,
            **changed,
        }
    )


def right(count: int, images: int = 1000, *, wrong_from: int = 0) -> np.ndarray:
    """The last `count` are right, so that larger counts contain smaller ones."""
    found = np.zeros(images, dtype=bool)
    found[images - count :] = True
    return np.roll(found, wrong_from)
