"""Numbers that stand for a picture: whatever they are, its pixels are between 0 and 1.

Gradient ascent moves the numbers; the pixels follow, and nothing is clipped or stretched.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

_DARKEST = 0.5 / 255  # pictures with black or white pixels stand for finite numbers
_FAINT = 0.1  # before the sigmoid: about 6 levels of 255 after it
_FALL = 1.2  # exponent (Tolhurst, Tadmor and Chao 1992, "Amplitude spectra of natural images")
_CONTRAST = 1.2  # standard deviation of brightness before the sigmoid: few pixels saturate
# Brightness, red against blue, green against both, close to the principal components of color in
# photographs (Ruderman, Cronin and Chiao 1998, "Statistics of cone responses to natural images").
_OPPONENTS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
# Their standard deviations, the first as 1: the norms of the columns of Lucid's
# `color_correlation_svd_sqrt` (github.com/tensorflow/lucid, optvis/param/color.py).
_SPREAD = (1.0, 0.28, 0.13)


class Latent(Protocol):
    """A picture in the making."""

    @property
    def parameters(self) -> Tensor:
        """What gradient ascent may change, a leaf that requires gradients."""

    def pixels(self) -> Tensor:
        """The picture as it is now: (1, 3, H, W) in [0, 1]."""


class PlainPixels:
    """Every number of the picture on its own, through a sigmoid.

    The parameterization of Simonyan, Vedaldi and Zisserman 2014, "Deep inside convolutional
    networks", and of Mahendran and Vedaldi 2015, but bounded.

    Args:
        values: (3, H, W), any numbers, to start at.
    """

    def __init__(self, values: Tensor) -> None:
        self.parameters = values[None].clone().requires_grad_()

    @classmethod
    def noise(cls, side: int, generator: torch.Generator) -> PlainPixels:
        """Faint noise around gray, each number for itself."""
        return cls(_FAINT * torch.randn(3, side, side, generator=generator))

    @classmethod
    def of(cls, pixels: Tensor) -> PlainPixels:
        """A picture, (3, H, W) in [0, 1]."""
        return cls(_logit(pixels))

    def pixels(self) -> Tensor:
        """See `Latent.pixels`."""
        return self.parameters.sigmoid()


class Phases:
    """The phases of a Fourier transform whose magnitudes stay fixed, in decorrelated colors.

    MACO (Fel et al. 2023, "Unlocking feature visualization for deep networks with magnitude
    constrained optimization"): the strength of every frequency is that of photographs, so that
    ascent can place things but not add the fine noise that networks fall for. Colors are
    decorrelated as by Olah, Mordvintsev and Schubert 2017, "Feature visualization".

    Args:
        magnitude: (3, H, W // 2 + 1), not negative, of the orthonormal transform.
        phase: likewise, in radians, to start at.
        width: W, which half a spectrum does not tell.
    """

    def __init__(self, magnitude: Tensor, phase: Tensor, *, width: int) -> None:
        self.parameters = phase[None].clone().requires_grad_()
        self._magnitude, self._size = magnitude, (magnitude.shape[1], width)
        self._to_rgb = _colors().to(magnitude)

    @classmethod
    def noise(cls, side: int, generator: torch.Generator) -> Phases:
        """Random phases; the magnitudes fall with the frequency, as in photographs."""
        along, across = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
        frequency = (along.square() + across.square()).sqrt()
        strength = frequency.clamp_min(1 / side) ** -_FALL
        strength[0, 0] = 0  # on average gray
        # Parseval: the mean square of the picture, each pair of frequencies counted twice.
        strength = strength / (strength.square() * _times(side)).sum().sqrt() * side
        phase = 2 * torch.pi * torch.rand(3, *strength.shape, generator=generator)
        return cls((_CONTRAST * strength).expand(3, -1, -1), phase, width=side)

    @classmethod
    def of(cls, pixels: Tensor) -> Phases:
        """Magnitudes and phases of a picture, (3, H, W) in [0, 1]."""
        opponent = torch.einsum("chw,cd->dhw", _logit(pixels), torch.linalg.inv(_colors()))
        spectrum = torch.fft.rfft2(opponent, norm="ortho")
        return cls(spectrum.abs(), spectrum.angle(), width=pixels.shape[2])

    def pixels(self) -> Tensor:
        """See `Latent.pixels`."""
        spectrum = torch.polar(self._magnitude.expand_as(self.parameters), self.parameters)
        opponent = torch.fft.irfft2(spectrum, s=self._size, norm="ortho")
        return torch.einsum("bchw,cd->bdhw", opponent, self._to_rgb).sigmoid()


def _times(side: int) -> Tensor:
    """(1, side // 2 + 1): how often a column of half a spectrum stands in the whole one."""
    times = torch.full((1, side // 2 + 1), 2.0)
    times[0, 0] = 1
    if side % 2 == 0:
        times[0, -1] = 1
    return times


def _colors() -> Tensor:
    """(3, 3): row by row, what each decorrelated color adds to red, green and blue."""
    axes = torch.nn.functional.normalize(torch.tensor(_OPPONENTS), dim=1)
    return torch.tensor(_SPREAD)[:, None] * axes


def _logit(pixels: Tensor) -> Tensor:
    """The numbers whose sigmoid the pixels are."""
    return pixels.clamp(_DARKEST, 1 - _DARKEST).logit()
