"""Parameterizations of an image whose pixels are always between 0 and 1.

Gradient ascent changes `parameters`, a leaf that requires gradients; `pixels` follow, and need no
clipping or stretching.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_DARKEST = 0.5 / 255  # keeps the parameters of black and white pixels finite
_NOISE = 0.1  # standard deviation before the sigmoid: about 6 levels of 255 after it
_STEADY = 0.1  # step of the average color, relative to the lowest frequency: it stays near gray
_FAINT = 0.3  # standard deviation of the initial parameters of a spectrum
_DECAY = 1.4  # exponent; photographs have about 1.2 (Tolhurst, Tadmor and Chao 1992)
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

    def pixels(self, side: int | None = None) -> Tensor:
        """Return the present image, (1, 3, H, W) in [0, 1], or shrunk to `side` x `side`."""
        pixels = self.parameters.sigmoid()
        if side is None or side >= min(pixels.shape[2:]):
            return pixels
        return interpolate(pixels, (side, side), mode="bilinear", antialias=True)


class Spectrum:
    """A Fourier transform in decorrelated colors, with small steps for high frequencies.

    One unit of a parameter changes each frequency by the magnitude that it has in photographs, so
    ascent forms large shapes rather than the fine noise that networks respond to (Olah, Mordvintsev
    and Schubert 2017, "Feature visualization", on preconditioning).

    Args:
        values: (3, H, W // 2 + 1), complex, of the orthonormal transform; initial values.
        width: W, which half a spectrum does not determine.
    """

    def __init__(self, values: Tensor, *, width: int) -> None:
        self._scale = _photographs(values.shape[1], width)
        self._width, self._to_rgb = width, _colors()
        self.parameters = torch.view_as_real(values / self._scale)[None].clone().requires_grad_()

    @classmethod
    def noise(cls, side: int, generator: torch.Generator) -> Spectrum:
        """Start from the faint noise of a photograph's spectrum, around gray."""
        parts = _FAINT * torch.randn(3, side, side // 2 + 1, 2, generator=generator)
        parts[:, 0, 0] = 0  # gray on average
        return cls(torch.view_as_complex(parts) * _photographs(side, side), width=side)

    @classmethod
    def of(cls, pixels: Tensor) -> Spectrum:
        """Start from an image, (3, H, W) in [0, 1]."""
        opponent = torch.einsum("chw,cd->dhw", _logit(pixels), torch.linalg.inv(_colors()))
        return cls(torch.fft.rfft2(opponent, norm="ortho"), width=pixels.shape[2])

    def pixels(self, side: int | None = None) -> Tensor:
        """Return the present image: (1, 3, H, W) in [0, 1].

        Args:
            side: its resolution if smaller than the image: (1, 3, side, side) of only the
                frequencies that such an image has.
        """
        spectrum = torch.view_as_complex(self.parameters) * self._scale
        height, width = spectrum.shape[2], self._width
        if side is not None and side < min(height, width):
            up, down = side - side // 2, side // 2
            rows = torch.cat([spectrum[:, :, :up], spectrum[:, :, height - down :]], dim=2)
            # The orthonormal transform divides by the square root of the number of pixels.
            spectrum = rows[..., : side // 2 + 1] * (side / math.sqrt(height * width))
            height = width = side
        opponent = torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
        return torch.einsum("bchw,cd->bdhw", opponent, self._to_rgb).sigmoid()


Latent = PlainPixels | Spectrum


def _photographs(height: int, width: int) -> Tensor:
    """Return (H, W // 2 + 1): magnitudes that fall with frequency, as in photographs."""
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    magnitude = frequency.clamp_min(1 / max(height, width)) ** -_DECAY
    # Parseval: the mean square of the image is that of the spectrum, half of which is here.
    energy = 2 * magnitude.square().sum() / (height * width)
    magnitude[0, 0] *= _STEADY
    steps: Tensor = _CONTRAST * magnitude / energy.sqrt()
    return steps


def _colors() -> Tensor:
    """Return (3, 3): row by row, the red, green and blue of each decorrelated color."""
    axes = torch.nn.functional.normalize(torch.tensor(_OPPONENTS), dim=1)
    return torch.tensor(_SPREAD)[:, None] * axes


def _logit(pixels: Tensor) -> Tensor:
    """Return the parameters whose sigmoid is `pixels`."""
    return pixels.clamp(_DARKEST, 1 - _DARKEST).logit()
