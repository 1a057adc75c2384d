"""Images in memory have the pixels that their files would have."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.images.decode import decode
from headstart.images.encoding import encode_array, encode_image
from headstart.images.notes import ImageNote
from tests.images.kind_table import KINDS

MISREAD = (
    "avif, ap",
    "bmp, rle",
    "cur",
    "gif, smaller",
    "ico, profile",
    "jp2",
    "jpeg 2000",
    "tiff, orient",
)
"""Kinds that Pillow reads wrongly, so that the image in memory is another one."""


def pixels(shape: tuple[int, ...] = (5, 7, 3), dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def shown(content: bytes) -> np.ndarray:
    return np.asarray(decode(content))


def readable_by_pillow(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except Exception:  # noqa: BLE001 - its plugins may raise anything
        return False
    return True


@pytest.mark.filterwarnings("ignore")  # of Pillow about files that are odd
def test_a_pillow_image_is_decoded_as_its_file_is():
    compared = 0
    for name, kind in KINDS.items():
        if kind.refused or kind.extra or name.startswith(MISREAD):
            continue
        data = kind.make()
        if readable_by_pillow(data):
            found = shown(encode_image(Image.open(io.BytesIO(data))))
            np.testing.assert_array_equal(found, shown(data), err_msg=name)
            compared += 1
    assert compared >= 30


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_pillow_images_of_every_mode(mode: str):
    image = Image.fromarray(pixels((6, 6, 4 if mode.endswith(("A", "a")) else 3)))
    if mode == "La":  # Pillow converts to it from LA alone
        image = image.convert("LA")
    image = image.convert(mode)
    before = image.tobytes()
    found = shown(encode_image(image))
    assert found.shape == (6, 6, 3)
    assert image.tobytes() == before


def test_orientation_is_applied_and_the_image_stays_as_it_was():
    image = Image.fromarray(pixels((4, 6, 3)))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info.update(exif=exif.tobytes(), xmp=b"kept")
    np.testing.assert_array_equal(shown(encode_image(image)), np.rot90(np.asarray(image), k=-1))
    assert set(image.info) == {"exif", "xmp"}
    assert image.size == (6, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16, np.uint32])
def test_integers_are_levels(dtype: Any):
    array = pixels(dtype=dtype)
    np.testing.assert_array_equal(shown(encode_array(array, "image 0")), array)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_round_to_the_nearest_level(dtype: Any):
    array = pixels()
    given = (array / 255).astype(dtype)
    np.testing.assert_array_equal(shown(encode_array(given, "image 0")), array)
    edges = np.array([[0, 0.5, 1, -0.001, 1.0019, 0.2499 / 255]], dtype)
    levels = shown(encode_array(edges, "image 0"))[0, :, 0].tolist()
    assert levels == [0, 128, 255, 0, 255, 0]


def test_gray_has_equal_channels():
    gray = pixels((5, 7))
    for array in (gray, gray[:, :, None]):
        found = shown(encode_array(array, "image 0"))
        np.testing.assert_array_equal(found, np.repeat(gray[:, :, None], 3, axis=2))
    mask = shown(encode_array(gray > 128, "image 0"))
    np.testing.assert_array_equal(mask[:, :, 1], np.where(gray > 128, 255, 0))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_16_bits_are_scaled_as_those_of_a_file(shape: tuple[int, ...]):
    notes: list[ImageNote] = []
    array = np.random.default_rng(0).integers(0, 4096, shape).astype(np.uint16)
    array[0, 0] = 4000
    levels = np.asarray(decode(encode_array(array, "image 0"), on_note=notes.append))
    expected = np.rint(array / 4095 * 255).reshape(5, 7, -1)
    np.testing.assert_array_equal(levels, np.broadcast_to(expected, (5, 7, 3)))
    assert notes == [ImageNote.REDUCED_BIT_DEPTH]


def test_any_memory_layout_gives_the_same_bytes():
    array = pixels((6, 6, 3))
    expected = encode_array(array, "image 0")
    assert encode_array(np.asfortranarray(array), "image 0") == expected
    assert encode_array(array[::-1][::-1], "image 0") == expected
    assert encode_image(Image.fromarray(array)) == expected


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2, 3), 255.0), r"from 255 to 255 \(float64\); give floats .* divide it by"),
        (np.full((2, 2), 1.5, np.float32), "from 1.5 to 1.5 .*: divide it by"),
        (
            np.linspace(-1, 1, 4).reshape(2, 2),
            "from -1 to 1 .*; give floats from 0 to 1, or uint8$",
        ),
        (np.array([[0.0, np.nan]]), "image 3 has NaN or infinite values"),
        (np.array([[0.0, np.inf]]), "image 3 has NaN or infinite values"),
        (np.array([[0, 256]]), r"from 0 to 256 \(int64\); give uint8"),
        (np.array([[-1, 2]]), "from -1 to 2"),
        (np.zeros((4, 5, 4)), r"\(4, 5, 4\); leave out the opacity"),
        (np.zeros((3, 8, 8)), r"\(3, 8, 8\); channels come last.*moveaxis"),
        (np.zeros((1, 8, 8)), "channels come last"),
        (np.zeros((8, 8, 2)), r"an image is \(height, width, 3\)"),
        (np.zeros(8), r"image 3 has the shape \(8,\); an image is"),
        (np.zeros((2, 8, 8, 3)), "one by one"),
        (np.zeros((0, 8, 3)), "image 3 has no pixels"),
        (np.zeros((8, 8), complex), "the dtype complex128; give uint8"),
        (np.zeros((8, 8), object), "the dtype object"),
        (np.full((2, 2), "a"), "the dtype <U1"),
    ],
)
def test_what_is_no_image_is_refused(array: np.ndarray, message: str):
    with pytest.raises(DataError, match=message):
        encode_array(array, "image 3")


def test_the_order_of_bytes_does_not_matter():
    levels = pixels((4, 5)).astype(np.uint16) * 257
    assert encode_array(levels.astype(">u2"), "image") == encode_array(levels, "image")
    assert encode_array(levels.astype("<u2"), "image") == encode_array(levels, "image")
