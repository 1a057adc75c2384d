"""Find out which augmentations leave the class unchanged: measured on the data, not assumed.

A mirrored cat is still a cat, but a mirrored 3 is not a digit. The probe is used to test this on
images that it was not trained on: an augmentation is used if the probe classifies augmented images
nearly as accurately as the plain ones, and if mirroring makes the images of no class look like
another one. Others would teach the network wrong labels.

Accuracy alone cannot tell with few images: of 40 images of digits, mirroring costs one or two. But
the probabilities of all images of a class fall then, which a test of each class sees. And with few
images doubt decides: they are mirrored only if an exchange can be ruled out; docs/decisions/0035.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Final

import numpy as np
from PIL import Image

from headstart.engines import Engine
from headstart.finetuning.settings import TuningSettings
from headstart.heads.calibration import log_softmax
from headstart.images.augmentation import Augmentation
from headstart.images.decode import decode
from headstart.images.limits import one_large_image
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.system.prefetch import prefetch, stack_batches
from headstart.types import Doubles, Floats, Labels, Pixels

CROP_SCALES = (0.5, 0.7, 0.85)
"""Tested fractions of an image's area; the smallest one that the probe tolerates is used."""
MAX_IMAGES = 200
"""Maximum number of images in the test."""
_TOLERANCE = {"flip": 0.05, "upside_down": 0.05}
_CROP_TOLERANCE = 0.1
"""Accuracy that an augmentation may cost. The probe was trained without augmentation, and a few
errors are chance. Crops also change the scale, which the tail learns to tolerate."""
_ODDS: Final = 4.0
"""Factor by which mirroring may raise the odds of another class against the image's own, as a
geometric mean over the images of a class; docs/decisions/0035 has those of digits and photos."""
_ERROR_RATE: Final = 0.05
"""Probability that chance alone makes any class of a data set lose significantly."""
_ENOUGH: Final = 100
"""Images from which on the test of significance finds exchanges; with fewer, doubt decides."""
_LOSS: Final = 0.25
"""Nats that the images of a class may lose; with few images, the upper bound of the loss must be
below it, or that of the odds of each other class below `_ODDS`."""
_CROPS = 2
"""Random crops per image and scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A class whose images look like another one when they are changed.

    Attributes:
        label: the class.
        resembles: the class that they look more like then.
        odds: factor by which the odds of that class rise against their own, a geometric mean.
    """

    label: str
    resembles: str
    odds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InvarianceTest:
    """Accuracy of a probe on augmented images.

    Attributes:
        images: number of images tested; 0 if the settings leave nothing to test.
        accuracy: accuracy on the plain images, [0, 1].
        accuracy_by_transform: accuracy under each transform, [0, 1]: "flip", "upside_down" and
            "crop 0.5" for crops of half the area.
        exchanges: for "flip" and "upside_down" the class that loses most, if that is significant
            or, with few images, possible.
        augmentation: the augmentation to train with.
    """

    images: int
    accuracy: float
    accuracy_by_transform: dict[str, float]
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    augmentation: Augmentation


def measure_invariance(
    paths: Sequence[Path],
    labels: Labels,
    classes: Sequence[str],
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
        classes: names of the K classes.
        engine: engine that runs the backbone.
        logits: function that maps the outputs of `Engine.stream` to the probe's calibrated logits
            (N, K).
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
        for row, made in prefetch(views, rows.tolist()):
            for name, view in made:
                shown.append((row, name))
                yield view

    shown: list[tuple[int, str]] = []
    with closing(engine.stream(stack_batches(pixels(), engine.batch))) as stream:
        found = np.concatenate([logits(outputs) for outputs in stream])
    scores = log_softmax(found.astype(np.float64), axis=1)
    places: dict[str, list[int]] = {}
    for place, (_, name) in enumerate(shown):
        places.setdefault(name, []).append(place)
    tested = labels[[row for row, _ in shown]]
    correct = scores.argmax(1) == tested
    accuracy = {name: float(correct[found].mean()) for name, found in places.items()}
    plain = accuracy.pop("plain")
    exchanges = {}
    for name in _TOLERANCE:
        parts = scores[places["plain"]], scores[places[name]]
        arguments = tested[places["plain"]], *parts, classes
        if exchange := find_exchange(*arguments) or find_doubt(*arguments):
            exchanges[name] = exchange
    tolerated = {
        name
        for name, value in accuracy.items()
        if value >= plain - _TOLERANCE.get(name, _CROP_TOLERANCE) and name not in exchanges
    }
    return InvarianceTest(
        images=len(rows),
        accuracy=plain,
        accuracy_by_transform=accuracy,
        exchanges=exchanges,
        augmentation=_augmentation(settings, tolerated=tolerated),
    )


def find_exchange(
    labels: Labels, plain: Doubles, changed: Doubles, classes: Sequence[str]
) -> Exchange | None:
    """Return the class whose images look most like another one when changed, if any clearly does.

    The odds of some other class must rise by more than `_ODDS`, and the images must lose
    probability of their own class significantly: by more standard errors than chance explains in
    any of the classes (one-sided, Bonferroni). The standard deviation is that within classes, over
    all of them, because a class may have two images.

    Args:
        labels: (N,) class indices.
        plain: (N, K) log-probabilities of the images.
        changed: (N, K) those of the changed images.
        classes: names of the K classes.
    """
    present, counts = np.unique(labels, return_counts=True)
    if len(labels) == len(present):
        return None
    gained = changed - plain
    lost = -gained[np.arange(len(labels)), labels]
    means = np.array([lost[labels == label].mean() for label in present])
    within = lost - means[np.searchsorted(present, labels)]
    deviation = math.sqrt(float(np.square(within).sum()) / (len(labels) - len(present)))
    quantile = NormalDist().inv_cdf(1 - _ERROR_RATE / len(present))
    found = []
    for label, mean, count in zip(present, means, counts, strict=True):
        if mean > quantile * deviation / math.sqrt(count):
            odds = gained[labels == label].mean(axis=0) + mean  # logarithms
            odds[label] = -np.inf
            found.append((float(odds.max()), classes[label], classes[int(odds.argmax())]))
    odds_gained, name, other = max(found, default=(0.0, "", ""))
    if odds_gained <= math.log(_ODDS):
        return None
    return Exchange(label=name, resembles=other, odds=math.exp(odds_gained))


def find_doubt(
    labels: Labels, plain: Doubles, changed: Doubles, classes: Sequence[str]
) -> Exchange | None:
    """Return the class whose images may look most like another one when changed, if that is open.

    An exchange is ruled out if there are `_ENOUGH` images, or if for each class one of two upper
    bounds (one-sided) is low: that of the loss of probability, or that of the odds of another one.
    The standard deviations are those within classes; see `find_exchange` for the arguments.
    """
    if len(labels) >= _ENOUGH:
        return None
    present, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Where each class has one image, nothing else tells how much they vary.
    single = len(present) == len(labels)
    freedom = len(labels) - (1 if single else len(present))
    gained = changed - plain
    own = gained[np.arange(len(labels)), labels]
    rises = gained - own[:, None]  # logarithms of odds; 0 for the own class

    def bounds(values: Doubles, columns: int) -> Doubles:
        means = np.array([values[labels == label].mean(axis=0) for label in present])
        within = values - (values.mean(axis=0) if single else means[places])
        deviation = math.sqrt(float(np.square(within).sum()) / (max(freedom, 1) * columns))
        error: Doubles = NormalDist().inv_cdf(1 - _ERROR_RATE) * deviation / np.sqrt(counts)
        bound: Doubles = means + error[:, None]
        return bound

    losses = bounds(-own[:, None], 1)[:, 0]
    odds = bounds(rises, max(1, len(classes) - 1))
    odds[np.arange(len(present)), present] = -np.inf
    highest = np.where(losses > _LOSS, odds.max(axis=1), -np.inf)
    place = int(highest.argmax())
    if highest[place] <= math.log(_ODDS):
        return None
    label, other = int(present[place]), int(odds[place].argmax())
    mean = float(rises[labels == label, other].mean())
    return Exchange(label=classes[label], resembles=classes[other], odds=math.exp(mean))


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
