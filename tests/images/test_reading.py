"""A file is decoded at a reduced size and prepared, from its path or from its bytes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode, read_bytes
from headstart.images.preprocessing import (
    Interpolation,
    Preprocessing,
    decode_and_prepare,
    prepare,
)

PREPROCESSING = Preprocessing(
    size=20, crop=16, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1)
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_pixels_are_decoded_scaled_and_prepared(photo: Path):
    reduced = decode(photo, min_size=PREPROCESSING.min_decode_size)
    assert reduced.size < (300, 400)
    found = decode_and_prepare(photo, PREPROCESSING)
    np.testing.assert_array_equal(found, prepare(reduced, PREPROCESSING))


def test_pixels_are_of_the_bytes_that_were_read(photo: Path):
    content = read_bytes(photo)
    assert content == photo.read_bytes()
    before = decode_and_prepare(photo, PREPROCESSING)
    photo.unlink()
    np.testing.assert_array_equal(decode_and_prepare(content, PREPROCESSING), before)


def test_a_file_that_is_not_an_image_is_refused_when_decoded(tmp_path: Path):
    (tmp_path / "notes.jpg").write_text("notes")
    content = read_bytes(tmp_path / "notes.jpg")
    with pytest.raises(UnreadableImageError, match="not an image"):
        decode_and_prepare(content, PREPROCESSING)
    with pytest.raises(UnreadableImageError, match="no such file"):
        read_bytes(tmp_path / "absent.jpg")
