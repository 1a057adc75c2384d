"""What a batch of images without labels tells about a model: drift, and the accuracy on them."""

from dataclasses import dataclass

from headstart.evaluation.drift import (
    MIN_BATCH,
    Drift,
    EstimatedAccuracy,
    drift_test,
    estimate_accuracy,
)
from headstart.models.trained_model import Model
from headstart.types import Doubles, Floats, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAssessment:
    """What is known about a batch of images.

    Attributes:
        drift: Whether the images as a whole are unlike the training images; None if unknown.
        accuracy: Share of the predictions that may be correct; None if unknown.
    """

    drift: Drift | None = None
    accuracy: EstimatedAccuracy | None = None


def assess(
    model: Model,
    probabilities: Floats,
    *,
    rows: Labels,
    novelty: Doubles | None = None,
    groups: Labels | None = None,
) -> BatchAssessment:
    """Compare a batch of images with the calibration images of a model.

    Args:
        model: The model that predicted the images.
        probabilities: (N, K) class probabilities.
        rows: (M,) indices of the images to assess: different ones, none of them a training image.
        novelty: (N,) p-values of the images' novelty; None if they are unknown.
        groups: (N,) series of each image, of which drift takes account; None if all are
            independent.

    Returns:
        Nothing known for fewer than 20 images, and for a model without calibration images.
    """
    calibration = model.calibration
    if calibration is None or len(rows) < MIN_BATCH:
        return BatchAssessment()
    p, novelty = probabilities[rows], None if novelty is None else novelty[rows]
    return BatchAssessment(
        drift=drift_test(calibration, p, novelty, groups=None if groups is None else groups[rows]),
        accuracy=estimate_accuracy(calibration, p, novelty),
    )
