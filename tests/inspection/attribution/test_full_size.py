import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.images.preprocessing import Interpolation, Preprocessing, Resize, prepare
from headstart.inspection.attribution.full_size import to_full_size
from tests.properties import examples


def preprocessing(size: int, crop: int, resize: Resize = Resize.SHORTER) -> Preprocessing:
    return Preprocessing(
        size=size, crop=crop, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1),
        resize=resize,
    )  # fmt: skip


def ramps(width: int, height: int) -> np.ndarray:
    """Red grows from left to right, green from top to bottom."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = (x + 0.5) * 255 / width, (y + 0.5) * 255 / height
    return np.stack([red, green, 0 * red], axis=2).round().astype(np.uint8)


@examples(60)
@given(
    width=st.integers(20, 300),
    height=st.integers(20, 300),
    size=st.integers(24, 80),
    crop=st.integers(24, 80),
    resize=st.sampled_from(Resize),
)
def test_what_prepare_moved_is_moved_back(width, height, size, crop, resize):
    """The crop of a picture of coordinates, placed in the picture, gives the coordinates."""
    original, how = ramps(width, height), preprocessing(size, crop, resize)
    seen = prepare(Image.fromarray(original), how)
    for channel in (0, 1):
        placed = to_full_size(seen[..., channel].astype(np.float32), how, width, height)
        error = np.abs(placed.values - original[..., channel])[placed.seen]
        # Resizing rounds, and is flat at the borders for half a pixel of the coarser grid.
        coarse = max(1.0, 255 / min(original.shape[:2]), 255 / min(how.resized(width, height)))
        assert error.max() <= 1.5 * coarse + 2


def test_outside_the_crop_nothing_was_seen():
    placed = to_full_size(np.ones((40, 40), np.float32), preprocessing(50, 40), 200, 100)
    assert placed.seen.shape == (100, 200)
    assert placed.seen[10:90, 60:140].all()
    assert placed.seen.sum() == 80 * 80
    assert np.array_equal(placed.values, placed.seen)


def test_what_lies_in_the_fill_is_left_out():
    values = np.zeros((40, 40), np.float32)
    values[:10] = values[30:] = 9  # above and below the picture
    placed = to_full_size(values, preprocessing(40, 40, Resize.LONGER), 200, 100)
    assert placed.seen.all()
    assert not placed.values.any()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_extreme_pictures(size):
    placed = to_full_size(np.ones((32, 32), np.float32), preprocessing(36, 32), *size)
    assert placed.values.shape == size[::-1]
    assert placed.seen.any()
