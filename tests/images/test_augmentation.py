import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.images.augmentation import Augmentation
from headstart.images.preprocessing import Interpolation, Preprocessing
from tests.properties import examples

PREPROCESSING = Preprocessing(
    size=24, crop=16, interpolation=Interpolation.BICUBIC, mean=(0, 0, 0), std=(1, 1, 1)
)
STILL = Augmentation(scale=(1.0, 1.0), ratio=1.0, flip=False, color=0.0)


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def halves() -> Image.Image:
    """Black, but for the left half of the upper half."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :8] = 255
    return Image.fromarray(pixels)


def views(augmentation: Augmentation, image: Image.Image, count: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [augmentation.view(image, PREPROCESSING, rng) for _ in range(count)]


@examples(40)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    smallest=st.floats(0.05, 1),
    ratio=st.floats(1, 3),
    color=st.floats(0, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_picture_gives_a_view_and_the_same_chance_the_same(
    width: int, height: int, smallest: float, ratio: float, color: float, seed: int
):
    image = noise(width, height)
    augmentation = Augmentation(scale=(smallest, 1.0), ratio=ratio, color=color, upside_down=True)
    first, second = (
        augmentation.view(image, PREPROCESSING, np.random.default_rng(seed)) for _ in range(2)
    )
    assert (first.shape, first.dtype) == ((16, 16, 3), np.uint8)
    assert first.tobytes() == second.tobytes()


def test_without_any_change_the_view_is_the_picture():
    image = noise(16, 16)
    for view in views(STILL, image, 3):
        np.testing.assert_array_equal(view, np.asarray(image))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
def test_views_are_turned_as_allowed_and_no_other_way(flip: bool, upside_down: bool):
    turning = Augmentation(
        scale=(1.0, 1.0), ratio=1.0, flip=flip, upside_down=upside_down, color=0.0
    )
    corners = {(bool(v[0, :8].all()), bool(v[0, 8:].all()), bool(v[8:, :8].all()))
               for v in views(turning, halves())}  # fmt: skip
    expected = {(True, False, False)}
    if flip:
        expected.add((False, True, False))
    if upside_down:
        expected.add((False, False, True))
    if flip and upside_down:
        expected.add((False, False, False))
    assert corners == expected


def test_crops_show_as_much_as_they_are_told():
    # A ramp tells where a column was: the span of a view is its width.
    ramp = np.broadcast_to(np.linspace(0, 255, 200)[None, :, None], (200, 200, 3))
    image = Image.fromarray(ramp.astype(np.uint8))
    cropping = Augmentation(scale=(0.25, 0.25), ratio=1.0, flip=False, color=0.0)
    seen = views(cropping, image)
    spans = [np.ptp(view[..., 0].astype(float)) for view in seen]
    assert min(spans) > 0.4 * 255
    assert max(spans) < 0.55 * 255
    assert len({view.tobytes() for view in seen}) > 10


def test_colors_change_within_their_range_and_not_at_all_at_zero():
    gray = Image.new("RGB", (20, 20), (100, 100, 100))
    bright = Augmentation(scale=(1.0, 1.0), ratio=1.0, flip=False, color=0.3)
    means = [view.mean() for view in views(bright, gray)]
    assert 69 <= min(means) < 90
    assert 110 < max(means) <= 131
    assert {view.mean() for view in views(STILL, gray)} == {100}


def test_turning_colors_off_leaves_the_other_draws_as_they_were():
    image = noise(40, 30)
    with_color, without = (
        Augmentation(color=color).view(image, PREPROCESSING, np.random.default_rng(3))
        for color in (1e-9, 0.0)
    )
    assert np.abs(with_color.astype(int) - without).max() <= 1
