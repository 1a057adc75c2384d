"""The weights of images in training."""

from collections.abc import Sequence

import numpy as np

from headstart.types import Floats, Labels


def sample_weights(
    labels: Labels, classes: int, *, balance: bool, given: Sequence[float] | np.ndarray = ()
) -> Floats:
    """Return each image's weight in training, (N,).

    It is the given one, 1 without; if classes are balanced, such that all classes weigh the same.
    """
    weights = np.asarray(given, np.float64) if len(given) else np.ones(len(labels))
    if balance:
        totals = np.bincount(labels, weights, minlength=classes)
        weights = weights * weights.sum() / (classes * totals[labels])
    return weights.astype(np.float32)
