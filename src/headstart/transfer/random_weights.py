"""The same network as if it had never been trained: what pre-training gave is the difference.

Weights of convolutions and of fully connected layers are drawn as He et al. 2015 do (normal,
variance 2 / fan-in). Normalization scales by 1 and shifts by 0, and batch normalization gets the
moments of the first batch of a training, so that signals neither vanish nor explode on their way
through the network. Its pictures are noise with the spectrum of photographs: the network has seen
none of the user's images, and is the same for all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from headstart.backbones.backbone import Backbone, Tensors
from headstart.errors import BackboneError
from headstart.transfer.batch_norm_statistics import BATCH, batch_moments
from headstart.types import Pixels

_MEAN, _VARIANCE = ".running_mean", ".running_var"
SPECTRUM: Final = 1.0
"""Amplitudes of photographs fall as 1 / frequency (Field 1987)."""


def untrained(backbone: Backbone, *, seed: int) -> Backbone:
    """A backbone of the same architecture with random weights.

    Args:
        backbone: the trained one; its weights are replaced, its preprocessing stays.
        seed: the same seed gives the same weights, digest included.

    Raises:
        BackboneError: the backbone takes no other weights, or is one of Keras's.
    """
    tensors = backbone.tensors()
    if any(name.endswith("moving_variance") for name in tensors):
        raise BackboneError(
            f"{backbone.name} cannot be drawn anew: Keras lays out its weights in another way; "
            "take the same network from torchvision: or timm:"
        )
    drawn = redrawn(tensors, seed=seed)
    source = f"random, seed {seed}"
    fresh = backbone.with_tensors(drawn, source=source)
    side = backbone.preprocessing.crop
    moments = batch_moments(fresh, natural_noise(BATCH, side, seed=seed), fresh=True)
    for name, found in moments.items():
        drawn[f"{name}{_MEAN}"] = found.mean.astype(np.float32)
        drawn[f"{name}{_VARIANCE}"] = found.variance.astype(np.float32)
    return backbone.with_tensors(drawn, source=source)


def redrawn(tensors: Tensors, *, seed: int) -> dict[str, np.ndarray]:
    """Random tensors of the same names, shapes and dtypes.

    What is neither a weight, a shift nor a moment (tables of positions, class tokens, scales of
    whole layers) is drawn with the mean and the spread that it has; integers stay.

    Args:
        tensors: of a whole network.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    return {name: _redrawn(name, old, rng) for name, old in tensors.items()}


def _redrawn(name: str, old: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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
    """Noise whose amplitudes fall with frequency as those of photographs do.

    Args:
        count: pictures.
        side: of each, in pixels.
        seed: of the noise.

    Returns:
        (count, side, side, 3); each picture fills 0 to 255 around its middle gray.
    """
    rng = np.random.default_rng(seed)
    across, down = np.fft.rfftfreq(side), np.fft.fftfreq(side)
    frequency = np.hypot(down[:, None], across)
    frequency[0, 0] = np.inf  # no mean: the middle is set below
    white = np.fft.rfft2(rng.normal(size=(count, 3, side, side)))
    noise = np.fft.irfft2(white / frequency**SPECTRUM, s=(side, side))
    noise /= noise.std(axis=(2, 3), keepdims=True)
    pixels = np.clip(127.5 + 64 * noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
