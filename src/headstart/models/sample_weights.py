"""The weights of images in training."""

from collections.abc import Sequence

import numpy as np

from headstart.types import Floats, Labels


def sample_weights(
    labels: Labels, classes: int, *, balance: bool, given: Sequence[float] | np.ndarray = ()
) -> Floats:
    """Return each image's weight in training, (N,).

    By default these are the `given` ones, or else 1. With `balance` they are scaled so that all
    classes have the same total weight.
    """
    weights = np.asarray(given, np.float64) if len(given) else np.ones(len(labels))
    if balance:
        totals = np.bincount(labels, weights, minlength=classes)
        weights = weights * weights.sum() / (classes * totals[labels])
    return weights.astype(np.float32)
