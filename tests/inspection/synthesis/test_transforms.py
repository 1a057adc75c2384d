"""Slopes tell how a view was scaled and turned: linear interpolation keeps planes exact."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from headstart.inspection.synthesis.transforms import TransformRanges
from tests.properties import examples

SIDE = 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp() -> torch.Tensor:
    """Rises from left to right by 1 / SIDE a pixel."""
    return ((torch.arange(SIDE) + 0.5) / SIDE).expand(1, 3, SIDE, SIDE)


def slopes(view: torch.Tensor) -> tuple[float, float]:
    """Along x and y in the middle, where nothing was mirrored, in ramps of one picture."""
    middle = view[0, 0, 12:20, 12:20] * SIDE
    return float(middle.diff(dim=1).mean()), float(middle.diff(dim=0).mean())


def test_without_freedom_a_view_is_the_picture():
    pixels = torch.rand(2, 3, SIDE, SIDE, generator=generator())
    torch.testing.assert_close(TransformRanges().sample(pixels, SIDE, generator()), pixels)


@given(scale=st.floats(0.3, 1.0), seed=st.integers(0, 1000))
@example(scale=0.30078125, seed=57)  # ends at the border
@examples(30)
def test_scale_is_the_share_that_is_seen(scale: float, seed: int):
    view = TransformRanges(scale=(scale, scale)).sample(ramp(), SIDE, generator(seed))
    assert slopes(view) == pytest.approx((scale, 0), abs=1e-3)
    # All of it is inside the image, wherever it is: outside is gray, which the ramp meets within
    # half a pixel of the border.
    assert float(view[0, 0, SIDE // 2, 2:-2].diff().min()) > 0


@given(spread=st.floats(0, 1), seed=st.integers(0, 1000))
@examples(30)
def test_a_view_larger_than_the_image_shows_it_whole_on_gray(spread: float, seed: int):
    views = TransformRanges(scale=(2.0, 2.0), spread=spread)
    view = views.sample(torch.ones(1, 3, SIDE, SIDE), SIDE, generator(seed))
    assert float(view.min()) == pytest.approx(0.5)
    # A quarter of the view is the image, white, wherever it is.
    assert float(view.mean()) == pytest.approx(0.5 + 0.5 / 4, abs=0.01)


@given(scale=st.floats(0.3, 1.0), spread=st.floats(0, 1), seed=st.integers(0, 1000))
@examples(30)
def test_spread_is_how_far_from_the_middle_it_may_lie(scale: float, spread: float, seed: int):
    views = TransformRanges(scale=(scale, scale), spread=spread)
    view = views.sample(ramp(), SIDE, generator(seed))
    middle = float(view[0, 0, 0, SIDE // 2 - 1 : SIDE // 2 + 1].mean())
    assert abs(middle - 0.5) <= spread * (1 - scale) / 2 + 1e-5


@given(seed=st.integers(0, 1000))
@examples(30)
def test_turns_keep_lengths_and_stay_within_bounds(seed: int):
    x, y = slopes(TransformRanges(turn=10).sample(ramp(), SIDE, generator(seed)))
    assert math.hypot(x, y) == pytest.approx(1, abs=1e-3)
    assert abs(math.degrees(math.atan2(y, x))) <= 10


def test_shifts_move_the_picture_at_most_so_far():
    seen = [
        float(TransformRanges(shift=0.25).sample(ramp(), SIDE, generator(seed))[0, 0, 16, 16])
        * SIDE
        - 16.5
        for seed in range(20)
    ]
    assert max(map(abs, seen)) <= SIDE / 2 * 0.25 + 1e-3
    assert max(seen) > 1
    assert min(seen) < -1


def test_half_of_the_views_are_mirrored():
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=generator())
    views = [TransformRanges(flip=True).sample(pixels, SIDE, generator(seed)) for seed in range(30)]
    mirrored = [torch.allclose(view, pixels.flip(3), atol=1e-5) for view in views]
    same = [torch.allclose(view, pixels, atol=1e-5) for view in views]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 5 < sum(mirrored) < 25


@given(seed=st.integers(0, 1000), side=st.integers(1, 48))
@examples(30)
def test_views_have_the_side_asked_for_and_stay_between_0_and_1(seed: int, side: int):
    pixels = torch.rand(2, 3, SIDE, SIDE + 5, generator=generator(seed))
    views = TransformRanges(scale=(0.4, 1.3), turn=20, shift=0.2, flip=True)
    view = views.sample(pixels, side, generator(seed))
    assert view.shape == (2, 3, side, side)
    assert -1e-6 <= view.min() <= view.max() <= 1 + 1e-6


def test_the_pictures_of_a_batch_are_seen_differently():
    view = TransformRanges(scale=(0.3, 1.0)).sample(ramp().expand(2, -1, -1, -1), SIDE, generator())
    assert not torch.allclose(view[0], view[1], atol=0.01)


def test_noise_differs_in_strength_from_view_to_view():
    gray = torch.full((40, 3, SIDE, SIDE), 0.5)
    strengths = (TransformRanges(noise=0.3).sample(gray, SIDE, generator()) - 0.5).std((1, 2, 3))
    assert float(strengths.max()) == pytest.approx(0.3, abs=0.03)
    assert float(strengths.mean()) == pytest.approx(0.15, abs=0.03)
