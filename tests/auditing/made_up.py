"""Made-up images and features that audits are tested on."""

from pathlib import Path

import numpy as np

from headstart.auditing.issue import LabeledImages
from headstart.types import Split
from tests.series.made_up import scene


def clusters(
    count: int, *, classes: int = 3, width: int = 8, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features around a center for each class, and labels."""
    rng = np.random.default_rng(seed)
    centers = 2 * rng.normal(size=(classes, width))
    y = np.arange(count) % classes
    X = centers[y] + rng.normal(size=(count, width))
    return X.astype(np.float32), y


def images(labels: np.ndarray, splits: tuple[Split, ...] = ()) -> LabeledImages:
    count = int(labels.max()) + 1
    return LabeledImages(
        paths=tuple(f"{row:04}.jpg" for row in range(len(labels))),
        labels=labels,
        classes=tuple(f"class {index}" for index in range(count)),
        splits=splits,
    )


def write_scenes(folder: Path, seeds: range) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed:03}.png" for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        scene(seed).save(path)
    return paths
