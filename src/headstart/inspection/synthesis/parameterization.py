"""Parameterizations of an image whose pixels are always between 0 and 1.

Gradient ascent changes `parameters`, a leaf that requires gradients; `pixels` follow, and need no
clipping or stretching.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DARKEST = 0.5 / 255  # keeps the parameters of black and white pixels finite
_NOISE = 0.1  # standard deviation before the sigmoid: about 6 levels of 255 after it
_DECAY = 1.2  # exponent (Tolhurst, Tadmor and Chao 1992, "Amplitude spectra of natural images")
_CONTRAST = 1.2  # standard deviation of brightness before the sigmoid: few pixels saturate
# Brightness, red against blue, green against both: close to the principal components of color in
# photographs (Ruderman, Cronin and Chiao 1998, "Statistics of cone responses to natural images").
_OPPONENTS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
# Their standard deviations relative to the first: the norms of the columns of Lucid's
# `color_correlation_svd_sqrt` (github.com/tensorflow/lucid, optvis/param/color.py).
_SPREAD = (1.0, 0.28, 0.13)


class PlainPixels:
    """One parameter per channel and pixel, through a sigmoid.

    The parameterization of Simonyan, Vedaldi and Zisserman 2014, "Deep inside convolutional
    networks", and of Mahendran and Vedaldi 2015, but bounded.

    Args:
        values: (3, H, W), initial values of any size.
    """

    def __init__(self, values: Tensor) -> None:
        self.parameters = values[None].clone().requires_grad_()

    @classmethod
    def noise(cls, side: int, generator: torch.Generator) -> PlainPixels:
        """Start from faint, independent noise around gray."""
        return cls(_NOISE * torch.randn(3, side, side, generator=generator))

    @classmethod
    def of(cls, pixels: Tensor) -> PlainPixels:
        """Start from an image, (3, H, W) in [0, 1]."""
        return cls(_logit(pixels))

    def pixels(self) -> Tensor:
        """Return the present image: (1, 3, H, W) in [0, 1]."""
        return self.parameters.sigmoid()


class Phases:
    """The phases of a Fourier transform with fixed magnitudes, in decorrelated colors.

    MACO (Fel et al. 2023, "Unlocking feature visualization for deep networks with magnitude
    constrained optimization"): each frequency has the magnitude it has in photographs, so that
    ascent can move structures but not add the high-frequency noise that networks respond to.
    Decorrelated colors are from Olah, Mordvintsev and Schubert 2017, "Feature visualization".

    Args:
        magnitude: (3, H, W // 2 + 1), not negative, of the orthonormal transform.
        phase: (3, H, W // 2 + 1), initial phases in radians.
        width: W, which half a spectrum does not determine.
    """

    def __init__(self, magnitude: Tensor, phase: Tensor, *, width: int) -> None:
        self.parameters = phase[None].clone().requires_grad_()
        self._magnitude, self._size = magnitude, (magnitude.shape[1], width)
        self._to_rgb = _colors().to(magnitude)

    @classmethod
    def noise(cls, side: int, generator: torch.Generator) -> Phases:
        """Start from random phases; magnitudes fall with frequency, as in photographs."""
        rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
        frequency = (rows.square() + columns.square()).sqrt()
        magnitude = frequency.clamp_min(1 / side) ** -_DECAY
        magnitude[0, 0] = 0  # gray on average
        # Parseval: the mean square of the image is the sum over the whole spectrum.
        magnitude = magnitude / (magnitude.square() * _multiplicity(side)).sum().sqrt() * side
        phase = 2 * torch.pi * torch.rand(3, *magnitude.shape, generator=generator)
        return cls((_CONTRAST * magnitude).expand(3, -1, -1), phase, width=side)

    @classmethod
    def of(cls, pixels: Tensor) -> Phases:
        """Start from an image, (3, H, W) in [0, 1], and keep its magnitudes."""
        opponent = torch.einsum("chw,cd->dhw", _logit(pixels), torch.linalg.inv(_colors()))
        spectrum = torch.fft.rfft2(opponent, norm="ortho")
        return cls(spectrum.abs(), spectrum.angle(), width=pixels.shape[2])

    def pixels(self) -> Tensor:
        """Return the present image: (1, 3, H, W) in [0, 1]."""
        spectrum = torch.polar(self._magnitude.expand_as(self.parameters), self.parameters)
        opponent = torch.fft.irfft2(spectrum, s=self._size, norm="ortho")
        return torch.einsum("bchw,cd->bdhw", opponent, self._to_rgb).sigmoid()


Latent = PlainPixels | Phases


def _multiplicity(side: int) -> Tensor:
    """Return (1, side // 2 + 1): how often each column of half a spectrum is in the whole one."""
    multiplicity = torch.full((1, side // 2 + 1), 2.0)
    multiplicity[0, 0] = 1
    if side % 2 == 0:
        multiplicity[0, -1] = 1
    return multiplicity


def _colors() -> Tensor:
    """Return (3, 3): row by row, the red, green and blue of each decorrelated color."""
    axes = torch.nn.functional.normalize(torch.tensor(_OPPONENTS), dim=1)
    return torch.tensor(_SPREAD)[:, None] * axes


def _logit(pixels: Tensor) -> Tensor:
    """Return the parameters whose sigmoid is `pixels`."""
    return pixels.clamp(_DARKEST, 1 - _DARKEST).logit()
