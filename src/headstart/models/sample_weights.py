"""The weights of images in training."""

import numpy as np

from headstart.types import Floats, Labels


def sample_weights(labels: Labels, classes: int, *, balance: bool) -> Floats:
    """Return each image's weight in training, (N,): 1, or such that all classes weigh the same."""
    if not balance:
        return np.ones(len(labels), np.float32)
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts[labels])).astype(np.float32)
