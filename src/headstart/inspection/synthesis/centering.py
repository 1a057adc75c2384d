"""Where the object of an image is, and the part of an image that changes first.

An image is taken for periodic, as its Fourier transform takes it: rolling it is exact.
"""

import math

import torch
from torch import Tensor

from headstart.inspection.synthesis.objective import Objective
from headstart.inspection.synthesis.transforms import TransformRanges

_SAMPLES = 8  # views whose gradients are averaged
_BLUR = 1 / 20  # standard deviation of the blur, as a fraction of the side
_FLAT, _EDGE, _LEAST = 0.1, 0.9, 0.15  # of the window, in half sides from the middle


def window(pixels: Tensor) -> Tensor:
    """Return the same image, whose gradients are smaller the farther from the middle.

    Unlike an image that fades into gray, it may have a background; but what forms first, forms in
    the middle, and leaves room around itself.

    Args:
        pixels: (B, 3, H, W).
    """
    rows, columns = (
        torch.arange(size, device=pixels.device).add(0.5).mul(2 / size).sub(1)
        for size in pixels.shape[2:]
    )
    distance = torch.hypot(rows[:, None], columns)
    falling = ((distance - _FLAT) / (_EDGE - _FLAT)).clamp(0, 1)
    weights = _LEAST + (1 - _LEAST) * (0.5 + 0.5 * (math.pi * falling).cos())
    fixed = pixels.detach()
    return fixed + weights * (pixels - fixed)


def offset_to_middle(
    pixels: Tensor,
    objective: Objective,
    views: TransformRanges,
    *,
    side: int,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Return how far down and right to roll an image so that its object is in the middle.

    The object is where the objective depends on the pixels most: the circular mean of the squared,
    blurred magnitudes of the gradients, over several random views.

    Args:
        pixels: (1, 3, H, W) in [0, 1].
        objective: the function that the object should raise.
        views: random transforms.
        side: side of the views in pixels.
        generator: random numbers of the views.

    Returns:
        Fractions of the height and of the width, each from -0.5 to 0.5.
    """
    leaf = pixels.detach().requires_grad_()
    for _ in range(_SAMPLES):
        objective(views.sample(leaf, side, generator)).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    weights = _blurred(leaf.grad.abs().sum((0, 1))).square()
    return _to_middle(weights.sum(1)), _to_middle(weights.sum(0))


def _to_middle(weights: Tensor) -> float:
    """Return half minus the circular mean of N weights, as a fraction of N."""
    places = torch.arange(len(weights), device=weights.device) + 0.5
    angles = places * (2 * math.pi / len(weights))
    # The sine and the cosine of half a turn minus the mean angle.
    return float(torch.atan2(weights @ angles.sin(), -(weights @ angles.cos()))) / (2 * math.pi)


def _blurred(values: Tensor) -> Tensor:
    """Blur (H, W) with a periodic Gaussian, in the spectrum."""
    height, width = values.shape
    rows = torch.fft.fftfreq(height, 1 / height, device=values.device)[:, None]
    columns = torch.fft.rfftfreq(width, 1 / width, device=values.device)
    gaussian = (-2 * (math.pi * _BLUR) ** 2 * (rows.square() + columns.square())).exp()
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(values) * gaussian, s=(height, width))
    return blurred
