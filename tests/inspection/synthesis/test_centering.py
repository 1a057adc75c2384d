"""Where an object is, for objectives that depend on a known place only."""

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.inspection.synthesis.centering import offset_to_middle, window
from headstart.inspection.synthesis.transforms import TransformRanges

SIDE = 32
STILL = TransformRanges()


def spot(row: int, column: int):
    """The mean of 5 x 5 pixels around a place, across the border too."""
    rows = torch.arange(row - 2, row + 3) % SIDE
    columns = torch.arange(column - 2, column + 3) % SIDE

    def objective(pixels: Tensor) -> Tensor:
        return pixels[:, :, rows][..., columns].mean((1, 2, 3))

    return objective


@pytest.mark.parametrize("place", [(16, 16), (3, 25), (31, 0), (0, 8)])
def test_the_object_is_rolled_to_the_middle(place: tuple[int, int]):
    gray = torch.full((1, 3, SIDE, SIDE), 0.5)
    found = offset_to_middle(
        gray, spot(*place), STILL, side=SIDE, generator=torch.Generator().manual_seed(0)
    )
    expected = [(SIDE / 2 - (at + 0.5)) / SIDE for at in place]
    for value, wanted in zip(found, expected, strict=True):
        assert -0.5 <= value <= 0.5
        apart = (value - wanted + 0.5) % 1 - 0.5  # on a circle
        assert abs(apart) < 0.01
    assert gray.grad is None


def test_the_window_changes_gradients_only():
    pixels = torch.rand(1, 3, 8, SIDE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = window(pixels)
    assert torch.equal(seen, pixels)
    seen.sum().backward()
    weights = pixels.grad[0, 0].numpy()
    assert 0.9 < weights.max() <= 1
    assert weights[0, 0] == weights[-1, -1] == pytest.approx(0.15)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-5)
    assert (np.diff(weights[4, SIDE // 2 :]) <= 0).all(), "it falls toward the border"
