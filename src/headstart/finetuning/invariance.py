"""Which changes of a picture leave its class alone: asked of the data, not assumed.

A mirrored cat is a cat, a mirrored 3 is nothing. The probe knows the difference: a change under
which it recognizes images that it was not trained on nearly as well as before (within 5 points, and
10 for crops) is one that training may use; one that costs it more would teach what is not so.
"""

from __future__ import annotations

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
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.images.reading import EncodedImage
from headstart.system.prefetch import prefetch, stack_batches
from headstart.types import Floats, Labels, Pixels

SHARES = (0.5, 0.7, 0.85)
"""Of a picture's area, the smallest crop: the first that is borne is taken."""
SAMPLE = 200
"""Images that are asked about, at most."""
_COST = {"flip": 0.05, "upside_down": 0.05}
_COST_OF_CROPS = 0.1
"""Accuracy that a change may cost. The probe has not been taught to bear any, and a few images more
or less are chance; a mirrored digit costs half of it. Crops also change the scale, which the tail
learns to bear."""
_TRIES = 2
"""Crops of each size that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvarianceTest:
    """What a probe made of changed images.

    Attributes:
        images: how many were asked about; 0 where the settings leave nothing to ask.
        accuracy: of the plain ones.
        under: of the changed ones, by the change's name.
        augmentation: what is taken.
    """

    images: int
    accuracy: float
    under: dict[str, float]
    augmentation: Augmentation


def borne(
    paths: Sequence[Path],
    labels: Labels,
    *,
    engine: Engine,
    logits: Callable[[list[Floats]], Floats],
    preprocessing: Preprocessing,
    settings: TuningSettings,
) -> InvarianceTest:
    """Find the changes that the class of these images does not depend on.

    Args:
        paths: N files that the probe was not trained on.
        labels: (N,) what they are.
        engine: runs the backbone.
        logits: of the probe, (N, K), from what `Engine.stream` gives.
        preprocessing: of the backbone.
        settings: says what is not to be asked.
    """
    asked = (settings.flip, settings.upside_down, settings.crop)
    if settings.views == 1 or None not in asked:  # nothing is left to ask
        return InvarianceTest(
            images=0, accuracy=0.0, under={}, augmentation=_taken(settings, set())
        )
    # Spread over all: the rows may be sorted in some way.
    rows = np.unique(np.linspace(0, len(paths) - 1, min(SAMPLE, len(paths))).astype(int))
    names = ["plain", "flip", "upside_down", *(f"crop {share}" for share in SHARES)]
    right: dict[str, list[np.ndarray]] = {name: [] for name in names}

    enough = partial(Augmentation(scale=(min(SHARES), 1.0)).min_decode_size, preprocessing)

    def views(row: int) -> list[tuple[str, Pixels]]:
        image = EncodedImage.read(paths[row]).decode(enough)
        return list(_changed(image, preprocessing, np.random.default_rng([settings.seed, row])))

    shown: list[tuple[int, str]] = []

    def pixels() -> Iterator[Pixels]:
        for row, found in prefetch(views, rows.tolist()):
            for name, one in found:
                shown.append((row, name))
                yield one

    at = 0
    with closing(engine.stream(stack_batches(pixels(), engine.batch))) as stream:
        for outputs in stream:
            said = logits(outputs).argmax(1)
            for (row, name), guess in zip(shown[at : at + len(said)], said, strict=True):
                right[name].append(guess == labels[row])
            at += len(said)
    share = {name: float(np.mean(hits)) for name, hits in right.items()}
    plain = share.pop("plain")
    kept = {name for name, one in share.items() if one >= plain - _COST.get(name, _COST_OF_CROPS)}
    return InvarianceTest(
        images=len(rows),
        accuracy=plain,
        under=share,
        augmentation=_taken(settings, kept),
    )


def _taken(settings: TuningSettings, kept: set[str]) -> Augmentation:
    """What the settings say, and else what was borne."""
    crop = next((one for one in SHARES if f"crop {one}" in kept), 1.0)
    return Augmentation(
        scale=(crop if settings.crop is None else settings.crop, 1.0),
        flip="flip" in kept if settings.flip is None else settings.flip,
        upside_down=(
            "upside_down" in kept if settings.upside_down is None else settings.upside_down
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
    for share in SHARES:
        crop = Augmentation(scale=(share, share), ratio=1.0, flip=False, color=0.0)
        for _ in range(_TRIES):
            yield f"crop {share}", crop.view(image, preprocessing, rng)
