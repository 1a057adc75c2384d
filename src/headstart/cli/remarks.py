"""Sentences about a batch of images, and about what prediction sets cannot promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.summary import names_text
from headstart.errors import HeadstartError, UserError
from headstart.system.text import duration, one_line, pluralize
from headstart.types import Skipped

if TYPE_CHECKING:
    from headstart.datasets import ImageDataset
    from headstart.evaluation.breakdown import LargestClass
    from headstart.evaluation.conformal import Coverage
    from headstart.evaluation.drift import Drift, EstimatedAccuracy
    from headstart.features.extractor import Extractor
    from headstart.inspection.expected_time import Passes
    from headstart.inspection.inspected_network import InspectedNetwork
    from headstart.models.trained_model import Model

_UNLABELED = "expect more errors than the model's accuracy suggests"
_ACCURATE = 0.95
"""Accuracy that needs no advice, unless naming the largest class gets half of the others right."""
_LONG = 20.0
"""Seconds that work may take without a word."""
_VAGUE = 0.5
"""Width of an interval in which an estimate says nothing."""


def coverage_warnings(model: Model, coverage: float | None, *, by_class: bool) -> list[str]:
    """Check the options of prediction sets, and return what they cannot promise.

    Raises:
        UserError: Coverage by class is asked for without a coverage.
        DataError: The coverage is impossible, or the model has no calibration images.
    """
    if coverage is None:
        if by_class:
            raise UserError("--coverage-by-class needs a coverage; add --coverage 0.9")
        return []
    highest = model.calibrated(coverage).highest_coverage(len(model.classes), by_class=by_class)
    short = (coverage > highest).nonzero()[0]
    if not len(short):
        return []
    names = names_text([model.classes[index] for index in short]) if by_class else "every class"
    limit = f"{len(short)} of {len(model.classes)} classes have" if by_class else "the model has"
    text = (
        f"{limit} too few calibration images for a coverage of {coverage:g} (up to "
        f"{highest.min():.3f} is possible), so every set contains {names}"
    )
    return [text]


def replaced_text(out: Path, dataset: ImageDataset) -> str | None:
    """Say which model of other images a new one replaces; None if there is none in this folder."""
    from headstart.models.model_folder import MANIFEST
    from headstart.models.saved_model import load_model

    try:
        earlier = load_model(out) if (out / MANIFEST).is_file() else None
    except HeadstartError:  # it is damaged or of a newer version
        earlier = None
    if earlier is None or (earlier.data.name, earlier.classes) == (dataset.name, dataset.classes):
        return None
    classes = pluralize(len(earlier.classes), "class", "classes")
    return f"replaces the model of {one_line(earlier.data.name)} ({classes}) in {out}"


def detail_advice(
    accuracy: float | None,
    largest: LargestClass | None,
    extractor: Extractor,
    paths: Sequence[Path],
    *,
    do: str = "try",
) -> str | None:
    """Advise tiles if a model that sees large images only as small ones is often wrong.

    Args:
        accuracy: Its accuracy; None if unknown.
        largest: What always answering the largest class gets right; None if unknown.
        extractor: The views that were tried.
        paths: The images.
        do: What to do with the options.
    """
    from headstart.features.views import Frame, View
    from headstart.images.sizes import typical_size
    from headstart.models.quality import loses_detail, tiles_of

    views = extractor.by_view.values()
    if any(one.view is not None and one.view.frame is Frame.TILES for one in views):
        return None
    trivial = 1 - largest.accuracy if largest else 1.0
    if accuracy is None or 1 - accuracy <= min(1 - _ACCURATE, trivial / 2):
        return None
    size = typical_size(paths)
    backbone = max((one.backbone for one in views), key=lambda one: one.preprocessing.crop)
    if size is None or not loses_detail(backbone, size):
        return None
    side, plain = backbone.preprocessing.crop, View(extractor.backbone.name)
    return (
        f"the images have {size[0]:,} x {size[1]:,} pixels, and the network sees {side} x {side}; "
        f"if what matters in them is small, {do} --quality best, or the quicker --views "
        f"{plain},{tiles_of(extractor.backbone)}"
    )


def slow_views_text(network: InspectedNetwork, passes: Passes, work: str) -> str | None:
    """Say how long work on several views takes; None for a single view, or if it is not long.

    Args:
        network: The network.
        passes: How often it is run.
        work: The work, and whether it takes less than that: "explaining 2 images takes".
    """
    if len(network.views) == 1:
        return None
    from headstart.inspection.expected_time import expected_seconds

    seconds = expected_seconds(network, passes)
    if seconds < _LONG:
        return None
    return f"the model has {len(network.views)} views, so {work} about {duration(seconds)}"


def drift_text(drift: Drift | None, images: int, consequence: str) -> str | None:
    """Return a sentence about drift and its consequence, if it is significant."""
    if drift is None or not drift.significant:
        return None
    p = "p < 0.001" if drift.p_value < 0.001 else f"p = {drift.p_value:.3f}"
    return (
        f"these {images:,} images as a whole are unlike the training images ({p}; they are more "
        f"unusual than training images {drift.shift:.0%} of the time); {consequence}"
    )


def expected_unknown(rate: float | None) -> str:
    """Say at which rate images should be called unknown."""
    return f"{rate:.1%} expected of images like the training images"


def batch_remarks(
    drift: Drift | None,
    accuracy: EstimatedAccuracy | None,
    *,
    images: int,
    unknown: float | None = None,
    rate: float | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield labeled sentences about a batch of images without labels.

    Args:
        drift: Whether they are unlike the training images.
        accuracy: How many of the predictions are right; None for too few images.
        images: Number of readable images; copies and training images are no evidence.
        unknown: The share that is called unknown, [0, 1]; None if nothing is.
        rate: The rate at which they should be.
    """
    if accuracy is None:
        return
    if unknown is not None:
        yield "called unknown", f"{unknown:.1%} of the images; {expected_unknown(rate)}"
    if text := drift_text(drift, accuracy.images, _UNLABELED):
        yield "drift", text
    low, high = accuracy.interval.low, accuracy.interval.high
    based = pluralize(accuracy.images, "image")
    if left_out := images - accuracy.images:
        what = pluralize(left_out, "copy or training image", "copies or training images")
        based += f", {what} left out"
    based += ", from the model's confidence"
    if high - low > _VAGUE:
        text = f"uncertain; anything from {low:.2f} to {high:.2f} is possible"
        yield "estimated accuracy", f"{text} ({based})"
    else:
        text = f"{accuracy.value:.3f} (95% interval {low:.3f} to {high:.3f}, {based})"
        yield "estimated accuracy", text


def coverage_texts(coverage: Coverage | None) -> list[str]:
    """Return the measured coverage of prediction sets, in one line for all and one per class."""
    if coverage is None:
        return []
    return [_coverage_text(coverage)] + [
        f"{name}: {_coverage_text(one)}" for name, one in coverage.by_class.items()
    ]


def _coverage_text(coverage: Coverage) -> str:
    return (
        f"{coverage.value:.3f} (95% interval {coverage.interval.low:.3f} to "
        f"{coverage.interval.high:.3f}, {pluralize(coverage.images, 'image')}, "
        f"{coverage.target:g} asked for), {coverage.mean_set_size:.2f} classes a set"
    )


def counts_text(counts: Mapping[str, int], skipped: Sequence[Skipped]) -> str:
    """Return how many images have each answer, and how many other files were ignored.

    Args:
        counts: Number of images by answer.
        skipped: Files that are not images.
    """
    answers = names_text([f"{count:,} {name}" for name, count in counts.items()])
    text = f"{pluralize(sum(counts.values()), 'image')}: {answers}"
    videos = sum("video" in one.reason for one in skipped)
    others = len(skipped) - videos
    ignored = [pluralize(videos, "video")] if videos else []
    ignored += [pluralize(others, "other file")] if others else []
    return f"{text}; ignored: {' and '.join(ignored)}" if ignored else text
