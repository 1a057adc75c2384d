"""A file is read once; its digest and its pixels are those of its bytes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from headstart.images.preprocessing import Interpolation, Preprocessing, prepare
from headstart.images.reading import EncodedImage
from headstart.system.digests import bytes_digest

PREPROCESSING = Preprocessing(
    size=20, crop=16, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1)
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_pixels_are_decoded_scaled_and_prepared(photo: Path):
    image = EncodedImage.read(photo)
    expected = prepare(decode(photo, min_size=PREPROCESSING.min_decode_size), PREPROCESSING)
    np.testing.assert_array_equal(image.prepared(PREPROCESSING), expected)
    assert image.decode(PREPROCESSING.min_decode_size).size < (300, 400)


def test_digest_and_pixels_are_of_the_bytes_that_were_read(photo: Path):
    content = photo.read_bytes()
    image = EncodedImage.read(photo)
    before = image.prepared(PREPROCESSING)
    photo.unlink()
    assert image.digest() == bytes_digest(content)
    np.testing.assert_array_equal(image.prepared(PREPROCESSING), before)


def test_a_file_that_is_not_an_image_is_refused_when_decoded(tmp_path: Path):
    (tmp_path / "notes.jpg").write_text("notes")
    image = EncodedImage.read(tmp_path / "notes.jpg")
    with pytest.raises(UnreadableImageError, match="not an image"):
        image.prepared(PREPROCESSING)
    with pytest.raises(UnreadableImageError, match="no such file"):
        EncodedImage.read(tmp_path / "absent.jpg")
