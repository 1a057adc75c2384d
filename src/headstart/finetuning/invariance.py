"""Find out which augmentations leave the class unchanged: measured on the data, not assumed.

A mirrored cat is still a cat, but a mirrored 3 is not a digit. The probe is used to test this: an
augmentation is used if the probe classifies augmented images that it was not trained on nearly as
accurately as the plain ones. Others would teach the network wrong labels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.engines import Engine
from headstart.finetuning.settings import TuningSettings
from headstart.images.augmentation import Augmentation
from headstart.images.decode import decode
from headstart.images.limits import one_large_image
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.system.prefetch import prefetch, stack_batches
from headstart.types import Floats, Labels, Pixels

CROP_SCALES = (0.5, 0.7, 0.85)
"""Tested fractions of an image's area; the smallest one that the probe tolerates is used."""
MAX_IMAGES = 200
"""Maximum number of images in the test."""
_TOLERANCE = {"flip": 0.05, "upside_down": 0.05}
_CROP_TOLERANCE = 0.1
"""Accuracy that an augmentation may cost. The probe was trained without augmentation, and a few
errors are chance; mirroring digits costs half of the accuracy. Crops also change the scale, which
the tail learns to tolerate."""
_CROPS = 2
"""Random crops per image and scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvarianceTest:
    """Accuracy of a probe on augmented images.

    Attributes:
        images: number of images tested; 0 if the settings leave nothing to test.
        accuracy: accuracy on the plain images, [0, 1].
        accuracy_by_transform: accuracy under each transform, [0, 1]: "flip", "upside_down" and
            "crop 0.5" for crops of half the area.
        augmentation: the augmentation to train with.
    """

    images: int
    accuracy: float
    accuracy_by_transform: dict[str, float]
    augmentation: Augmentation


def measure_invariance(
    paths: Sequence[Path],
    labels: Labels,
    *,
    engine: Engine,
    logits: Callable[[list[Floats]], Floats],
    preprocessing: Preprocessing,
    settings: TuningSettings,
) -> InvarianceTest:
    """Find the augmentations that the class of these images does not depend on.

    Args:
        paths: N image files that the probe was not trained on.
        labels: (N,) their class indices.
        engine: engine that runs the backbone.
        logits: function that maps the outputs of `Engine.stream` to the probe's logits (N, K).
        preprocessing: preprocessing of the backbone.
        settings: augmentations that they fix are used as they are; the others are measured.
    """
    fixed = (settings.flip, settings.upside_down, settings.crop)
    if settings.views == 1 or None not in fixed:
        augmentation = _augmentation(settings, tolerated=set())
        return InvarianceTest(
            images=0, accuracy=0.0, accuracy_by_transform={}, augmentation=augmentation
        )
    # Evenly spaced, because the images may be sorted.
    rows = np.unique(np.linspace(0, len(paths) - 1, min(MAX_IMAGES, len(paths))).astype(int))
    enough = partial(Augmentation(scale=(min(CROP_SCALES), 1.0)).min_decode_size, preprocessing)

    @one_large_image()
    def views(row: int) -> list[tuple[str, Pixels]]:
        image = decode(paths[row], min_size=enough)
        return list(_changed(image, preprocessing, np.random.default_rng([settings.seed, row])))

    def pixels() -> Iterator[Pixels]:
        for row, found in prefetch(views, rows.tolist()):
            for name, view in found:
                shown.append((row, name))
                yield view

    shown: list[tuple[int, str]] = []
    with closing(engine.stream(stack_batches(pixels(), engine.batch))) as stream:
        predicted = [label for outputs in stream for label in logits(outputs).argmax(1)]
    correct: dict[str, list[bool]] = {}
    for (row, name), label in zip(shown, predicted, strict=True):
        correct.setdefault(name, []).append(label == labels[row])
    accuracy = {name: float(np.mean(hits)) for name, hits in correct.items()}
    plain = accuracy.pop("plain")
    tolerated = {
        name
        for name, value in accuracy.items()
        if value >= plain - _TOLERANCE.get(name, _CROP_TOLERANCE)
    }
    return InvarianceTest(
        images=len(rows),
        accuracy=plain,
        accuracy_by_transform=accuracy,
        augmentation=_augmentation(settings, tolerated=tolerated),
    )


def _augmentation(settings: TuningSettings, *, tolerated: set[str]) -> Augmentation:
    """Return the augmentation that the settings fix, or else the one that the probe tolerates."""
    crop = next((scale for scale in CROP_SCALES if f"crop {scale}" in tolerated), 1.0)
    return Augmentation(
        scale=(crop if settings.crop is None else settings.crop, 1.0),
        flip="flip" in tolerated if settings.flip is None else settings.flip,
        upside_down=(
            "upside_down" in tolerated if settings.upside_down is None else settings.upside_down
        ),
        color=settings.color,
    )


def _changed(
    image: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator
) -> Iterator[tuple[str, Pixels]]:
    plain = prepare(image, preprocessing)
    yield "plain", plain
    yield "flip", plain[:, ::-1]
    yield "upside_down", plain[::-1]
    for scale in CROP_SCALES:
        crop = Augmentation(scale=(scale, scale), ratio=1.0, flip=False, color=0.0)
        for _ in range(_CROPS):
            yield f"crop {scale}", crop.view(image, preprocessing, rng)
