import numpy as np
import pytest

from headstart.errors import UnreadableImageError
from headstart.images.depth import Stated, scaled, scaled_alpha
from headstart.images.notes import ImageNote

FLOAT_MAX = float(np.finfo(np.float32).max)


def levels(values, dtype, **stated):
    return scaled(np.array([values], dtype), Stated(**stated))[0].tolist()


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("u2", [0, 32768, 65535], [0, 128, 255]),
        ("u2", [0, 2048, 4095], [0, 128, 255]),
        ("u2", [0, 100, 4096], [0, 2, 64]),
        ("u2", [0, 0, 0], [0, 0, 0]),
        (">u2", [0, 2048, 4095], [0, 128, 255]),
        ("i1", [-128, 0, 127], [0, 128, 255]),
        ("i1", [0, 64, 127], [0, 129, 255]),
        ("i2", [-32768, 0, 32767], [0, 128, 255]),
        ("i2", [0, 16384, 32767], [0, 128, 255]),
        ("i2", [-1024, 0, 3072], [0, 64, 255]),
        ("i4", [-(2**31), 0, 2**31 - 1], [0, 128, 255]),
        ("i4", [0, 1 << 20, 1 << 21], [0, 128, 255]),
        ("u4", [0, 2**31, 2**32 - 1], [0, 128, 255]),
        ("u4", [0, 512, 1023], [0, 128, 255]),
        ("i8", [-(2**63), 0, 2**63 - 1], [0, 128, 255]),
        ("f2", [0, 0.5, 1], [0, 128, 255]),
        ("f8", [0, 2047.5, 4095], [0, 128, 255]),
        ("f4", [0.5, 5, 10.5], [0, 115, 255]),  # linear light
        ("f4", [0, 1, 9], [0, 1, 9]),  # levels
    ],
)
def test_the_range_is_one_that_many_images_share(dtype, values, expected):
    assert levels(values, dtype) == expected


@pytest.mark.parametrize("no_data", [-9999, -99999, np.nan, -FLOAT_MAX, FLOAT_MAX, 1e35, -np.inf])
@pytest.mark.parametrize("top", [1, 255, 4095])
def test_values_for_no_data_do_not_squash_the_others(no_data, top):
    assert levels([no_data, 0, top / 2, top], np.float32) == [0, 0, 128, 255]


def test_the_stated_value_for_no_data():
    assert levels([-32768, 0, 2048, 4095], np.int16, no_data=-32768) == [0, 0, 128, 255]
    assert levels([65535, 0, 2048, 4095], np.uint16, no_data=65535) == [0, 0, 128, 255]
    assert levels([-5, 0, 0.5, 1], np.float64, no_data=-5) == [0, 0, 128, 255]


def test_the_same_values_among_others_are_values():
    values = [-10001, -9999, 0, 9999]
    assert levels(values, np.float32) == [0, 0, 128, 255]
    assert levels([-9999, -9000, 0, 9000], np.int16) != [0, 0, 128, 255]


def test_what_the_file_states_comes_first():
    assert levels([0, 500, 1000], np.uint16, high=4095.0) == [0, 31, 62]
    assert levels([0, 500, 1000], np.uint16, high=65535.0) == [0, 2, 4]
    assert levels([0.0, 1.0], np.float32, low=-1.0, high=3.0) == [64, 128]
    # A statement that does not hold is none.
    assert levels([0, 2048, 4095], np.uint16, high=1023.0) == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "stated", "noted"),
    [
        ([0, 4095], Stated(), True),
        ([0, 65535], Stated(), False),
        ([0, 0], Stated(), False),
        ([0, 4095], Stated(high=4095.0), False),
    ],
)
def test_only_an_assumption_is_noted(values, stated, noted):
    notes = []
    scaled(np.array([values], np.uint16), stated, on_note=notes.append)
    assert notes == [ImageNote.REDUCED_BIT_DEPTH] * noted


def test_all_channels_have_one_range():
    samples = np.array([[[100, 1000, 4095]]], np.uint16)
    assert scaled(samples)[0, 0].tolist() == [6, 62, 255]


def test_a_range_without_width():
    assert levels([-1e-310, 0, 1e-310], np.float64) == [0, 0, 0]
    assert levels([7e5, 7e5], np.float32) == [0, 0]


def test_no_finite_values():
    with pytest.raises(UnreadableImageError, match="no finite pixel values"):
        scaled(np.full((2, 2), np.nan, np.float32))


def test_opacity_uses_few_bits_only_if_the_colors_do():
    few, many = np.array([[4095]], np.uint16), np.array([[65535]], np.uint16)
    assert scaled_alpha(few, few, Stated()) == 255
    assert scaled_alpha(few, many, Stated()) == 16
    assert scaled_alpha(many, few, Stated()) == 255
    assert scaled_alpha(np.array([[1.0]]), np.array([[255.0]]), Stated()) == 255


def test_large_images_are_scaled_in_parts_alike(monkeypatch):
    samples = np.random.default_rng(0).normal(size=(50, 40, 3))
    whole = scaled(samples)
    monkeypatch.setattr("headstart.images.depth._BLOCK", 500)
    np.testing.assert_array_equal(scaled(samples), whole)
