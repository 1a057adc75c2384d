import io

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images import presentation
from headstart.images.notes import ImageNote
from headstart.images.preprocessing import Interpolation, Preprocessing, decode_and_prepare
from headstart.images.presentation import CenterCrop, MirroredCrops, present
from tests.conftest import picture


def center(size: int) -> CenterCrop:
    return CenterCrop(
        Preprocessing(
            size=size,
            crop=size,
            interpolation=Interpolation.BICUBIC,
            mean=(0, 0, 0),
            std=(1, 1, 1),
        )
    )


def encoded(image: Image.Image, kind: str) -> bytes:
    image.save(file := io.BytesIO(), kind)
    return file.getvalue()


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    done = []
    decode = presentation.decode

    def counted(content, **options):
        done.append(content)
        return decode(content, **options)

    monkeypatch.setattr(presentation, "decode", counted)
    return done


@pytest.mark.parametrize(
    ("kind", "sizes", "scales"),
    [
        ("PNG", (24, 32, 200), 1),
        ("JPEG", (200, 150, 199), 1),
        ("JPEG", (24, 200, 28, 64, 220), 3),  # an eighth, the whole, an eighth, a half, the whole
    ],
)
def test_each_presentation_gets_the_pixels_that_it_would_get_alone(kind, sizes, scales, decodings):
    content = encoded(picture("noise", 3).resize((450, 470)), kind)
    found = present(content, {size: center(size) for size in sizes})
    assert len(decodings) == scales
    for size in sizes:
        alone = decode_and_prepare(content, center(size).preprocessing)
        np.testing.assert_array_equal(found[size], alone[np.newaxis])


def test_a_large_image_is_reduced_as_for_one_presentation(monkeypatch, decodings):
    monkeypatch.setattr("headstart.images.limits.LARGE_PIXELS", 1000)
    content = encoded(picture("noise", 3).resize((450, 470)), "PNG")
    found = present(content, {size: center(size) for size in (24, 28, 200)})
    assert len(decodings) == 2
    for size, pixels in found.items():
        alone = decode_and_prepare(content, center(size).preprocessing)
        np.testing.assert_array_equal(pixels[0], alone)


def test_what_decoding_assumed_is_told():
    values = np.linspace(0, 1023, 400).astype(np.uint16).reshape(20, 20)
    notes = []
    content = encoded(Image.fromarray(values), "PNG")
    present(content, {8: center(8), 10: center(10)}, on_note=notes.append)
    assert notes == [ImageNote.REDUCED_BIT_DEPTH]
    with pytest.raises(UnreadableImageError, match="empty file"):
        present(b"", {8: center(8)})


def test_mirrored_crops_are_averaged():
    single = center(32)
    mirrored = MirroredCrops(single.preprocessing)
    image = picture("noise", 1)
    first, second = mirrored.prepare(image)
    np.testing.assert_array_equal(first, single.prepare(image)[0])
    np.testing.assert_array_equal(second[:, ::-1], first)
    assert mirrored.min_decode_size(500, 400) == single.min_decode_size(500, 400)
    outputs = [np.array([[1, 2], [3, 6], [5, 0], [5, 8]], np.float32)]
    (pooled,) = mirrored.pool(outputs, np.array([0, 2]))
    np.testing.assert_array_equal(pooled, [[2, 4], [5, 4]])
