"""The same network with random weights: the difference in accuracy is the gain of pre-training.

Weights of convolutions and fully connected layers are drawn as in He et al. 2015 (normal, variance
2 / fan-in). Normalization scales by 1 and shifts by 0. Batch normalization stores the moments of a
first batch, so that signals neither vanish nor explode on their way through the network. That batch
is noise with the spectrum of photos: the network does not depend on the user's images, and is the
same for every data set.
"""

from typing import Final

import numpy as np

from headstart.backbones.backbone import Backbone, Tensors
from headstart.errors import BackboneError
from headstart.transfer.batch_norm_statistics import BATCH, batch_moments
from headstart.types import Pixels

_MEAN, _VARIANCE = ".running_mean", ".running_var"
SPECTRUM: Final = 1.0
"""Amplitudes of photos fall as 1 / frequency (Field 1987)."""


def randomize_weights(backbone: Backbone, *, seed: int) -> Backbone:
    """Return a backbone of the same architecture and preprocessing with random weights.

    Raises:
        BackboneError: the backbone's weights cannot be replaced, or it is a Keras model.
    """
    tensors = backbone.tensors()
    if any(name.endswith("moving_variance") for name in tensors):
        raise BackboneError(
            f"{backbone.name} is a Keras model, whose weights cannot be randomized; use the "
            "same network from torchvision: or timm:"
        )
    drawn = random_tensors(tensors, seed=seed)
    source = f"random, seed {seed}"
    network = backbone.with_tensors(drawn, source=source)
    noise = natural_noise(BATCH, backbone.preprocessing.crop, seed=seed)
    for name, moments in batch_moments(network, noise, fresh=True).items():
        drawn[f"{name}{_MEAN}"] = moments.mean.astype(np.float32)
        drawn[f"{name}{_VARIANCE}"] = moments.variance.astype(np.float32)
    return backbone.with_tensors(drawn, source=source)


def random_tensors(tensors: Tensors, *, seed: int) -> dict[str, np.ndarray]:
    """Draw tensors of the same names, shapes and dtypes; equal seeds give equal tensors.

    Tensors other than weights, biases and moments (position tables, class tokens, scales of whole
    layers) keep their mean and standard deviation; integers stay as they are.
    """
    rng = np.random.default_rng(seed)
    return {name: _random(name, old, rng) for name, old in tensors.items()}


def _random(name: str, old: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    new = np.array(old)
    if not np.issubdtype(old.dtype, np.floating):
        return new
    if name.endswith("weight") and old.ndim > 1:
        new[:] = rng.normal(0.0, np.sqrt(2 / np.prod(old.shape[1:])), old.shape)
    elif name.endswith(("weight", _VARIANCE)):
        new[...] = 1
    elif name.endswith(("bias", _MEAN)):
        new[...] = 0
    else:
        new[...] = rng.normal(old.mean(dtype=np.float64), old.std(dtype=np.float64), old.shape)
    return new


def natural_noise(count: int, side: int, *, seed: int) -> Pixels:
    """Draw noise (count, side, side, 3) around gray whose amplitudes fall as those of photos do."""
    rng = np.random.default_rng(seed)
    across, down = np.fft.rfftfreq(side), np.fft.fftfreq(side)
    frequency = np.hypot(down[:, None], across)
    frequency[0, 0] = np.inf  # zero mean; the gray level is added below
    white = np.fft.rfft2(rng.normal(size=(count, 3, side, side)))
    noise = np.fft.irfft2(white / frequency**SPECTRUM, s=(side, side))
    noise /= noise.std(axis=(2, 3), keepdims=True)
    pixels = np.clip(127.5 + 64 * noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
