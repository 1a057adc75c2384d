"""Made-up features for the tests of heads."""

import numpy as np

from headstart.types import Floats, Labels


def blobs(
    images: int, width: int, classes: int, *, seed: int = 0, apart: float = 1.0
) -> tuple[Floats, Labels]:
    """A cloud around a point of its own for each class; features differ in mean and scale."""
    rng = np.random.default_rng(seed)
    y = np.arange(images) % classes
    rng.shuffle(y)
    centers = apart * rng.normal(size=(classes, width))
    X = centers[y] + rng.normal(size=(images, width))
    X = X * rng.uniform(0.1, 10, width) + 5 * rng.normal(size=width)
    return X.astype(np.float32), y


def leave_out(images: int, folds: int) -> Floats:
    """Row weights (folds, images): fold f leaves out every `folds`-th row from f on."""
    return np.array([np.arange(images) % folds != fold for fold in range(folds)], dtype=np.float32)


def noise(stages: int, images: int, width: int = 8, seed: int = 0) -> dict[str, Floats]:
    """Features of so many stages that tell nothing."""
    rng = np.random.default_rng(seed)
    return {
        f"s{stage}": rng.normal(size=(images, width)).astype(np.float32) for stage in range(stages)
    }
