"""The shape of what `prepare` gives; test_torchvision and test_timm compare its pixels."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.errors import BackboneError
from headstart.images import preprocessing
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize, prepare
from tests.properties import examples

USUAL = Preprocessing(
    size=256,
    crop=224,
    interpolation=Interpolation.BICUBIC,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("resize", list(Resize))
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (500, 375), (224, 224), (3000, 20)])
def test_every_size_of_picture_fills_the_crop(size: tuple[int, int], resize: Resize):
    pixels = prepare(noise(*size), replace(USUAL, resize=resize))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (100_000, 30)])
def test_a_picture_a_pixel_high_takes_neither_memory_nor_time(size: tuple[int, int]):
    # Resized whole, the first would be 12 gigabytes.
    image = noise(*size)
    started = time.perf_counter()
    assert prepare(image, USUAL).shape == (224, 224, 3)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("interpolation", list(Interpolation))
@pytest.mark.parametrize("size", [(900, 40), (40, 900), (4000, 150), (77, 1300), (500, 375)])
@pytest.mark.parametrize("crop", [224, 256, 300])
def test_resizing_only_the_middle_gives_the_same_pixels(
    size: tuple[int, int], interpolation: Interpolation, crop: int, monkeypatch: pytest.MonkeyPatch
):
    wanted = replace(USUAL, interpolation=interpolation, crop=crop)
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    waves = 128 + 60 * np.sin(x / 7) + 60 * np.cos(y / 5)
    image = Image.fromarray(np.stack([waves, waves[::-1], 255 - waves], -1).astype(np.uint8))
    monkeypatch.setattr(preprocessing, "only_middle", lambda *_: False)
    whole = prepare(image, wanted)
    monkeypatch.undo()
    middle = prepare(image, wanted)
    difference = np.abs(whole.astype(int) - middle.astype(int))
    if interpolation is Interpolation.NEAREST:  # a source pixel may end one column further
        assert (difference == 0).mean() > 0.95
    else:  # Pillow may take rows before columns, and rounds in between
        assert difference.max() <= 2
        assert difference.mean() < 0.2


@examples(100)
@given(st.integers(1, 6_000), st.integers(1, 6_000), st.sampled_from(Resize))
def test_twice_the_resized_picture_is_enough_however_it_lies(width, height, resize):
    one = replace(USUAL, resize=resize)
    wide, high = one.resized(width, height)
    assert one.min_decode_size(width, height) == (2 * wide, 2 * high)
    assert one.min_decode_size(height, width) == (2 * high, 2 * wide)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("size", value) for value in (0, -1, 10**9, 224.0, "224", None, True, float("nan"))),
        *(("crop", value) for value in (0, -1, 10**9, float("inf"))),
        *(("interpolation", value) for value in ("nope", "", None, 3, "bicubic")),
        *(("resize", value) for value in ("nope", None, "stretch", Interpolation.BICUBIC)),
        ("mean", (0.5, 0.5)),
        ("mean", 0.5),
        ("mean", (0.5, float("nan"), 0.5)),
        ("mean", (float("inf"), 0, 0)),
        ("mean", (123.7, 116.3, 103.5)),  # of pixels in [0, 255]
        ("mean", (0, 0, 10**400)),
        ("mean", ("a", "b", "c")),
        ("std", (0, 0, 0)),
        ("std", (1, 1, -1)),
        ("std", (1, 1, float("nan"))),
        ("std", (1, 1, 1e-300)),
        ("std", (1, 1, 1, 1)),
        ("fill", (0, 0, 256)),
        ("fill", (0, 0, 0.5)),
        ("fill", None),
    ],
)
def test_impossible_values_are_refused_where_they_enter(name: str, value: object):
    with pytest.raises(BackboneError, match=f"the preprocessing has {name} .*; it must be"):
        replace(USUAL, **{name: value})


def test_the_members_of_an_enum_are_named_where_a_string_was_given():
    with pytest.raises(BackboneError, match=r"resize 'stretch'; .* Resize\.STRETCH"):
        replace(USUAL, resize="stretch")


def test_numbers_of_numpy_are_numbers():
    mean = tuple(np.array([0.5, 0.4, 0.3], np.float32))
    assert replace(USUAL, mean=mean, size=np.int64(256)).mean == mean
