"""Which ground transparent images get."""

import io

import numpy as np
import pytest
from PIL import Image

from headstart.images.decode import decode
from headstart.images.rgb import to_rgb

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (200, 30, 40)
LOSSLESS = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {},
    "TGA": {},
    "DDS": {},
    "ICO": {"sizes": [(16, 16)]},
    "JPEG2000": {},
}


def icon(color, alpha=255, ground=(0, 0, 0, 0)):
    image = Image.new("RGBA", (16, 16), ground)
    image.paste((*color, alpha), (4, 4, 12, 12))
    return image


def reread(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return decode(buffer.getvalue())


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_white_icon_stays_visible(kind):
    for ground in ((0, 0, 0, 0), (255, 255, 255, 0)):
        image = reread(icon(WHITE, ground=ground), kind, **LOSSLESS[kind])
        assert (image.getpixel((8, 8)), image.getpixel((1, 1))) == (WHITE, BLACK)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_other_icons_stand_on_white(kind):
    for color in (RED, BLACK):
        image = reread(icon(color), kind, **LOSSLESS[kind])
        assert (image.getpixel((8, 8)), image.getpixel((1, 1))) == (color, WHITE)


def test_what_is_hardly_there_stands_on_white():
    assert to_rgb(icon(BLACK, alpha=5)).getpixel((1, 1)) == WHITE
    assert to_rgb(icon(WHITE, alpha=5)).getpixel((1, 1)) == WHITE


def test_a_white_icon_of_a_palette():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([9, 9, 9, 255, 255, 255])
    image.paste(1, (4, 4, 12, 12))
    for kind in ("GIF", "PNG"):
        read = reread(image, kind, transparency=0)
        assert (read.getpixel((8, 8)), read.getpixel((1, 1))) == (WHITE, BLACK)


@pytest.mark.parametrize("kind", sorted(set(LOSSLESS) - {"ICO"}))
def test_a_fourth_channel_of_zeros_is_not_transparency(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    image = Image.fromarray(np.dstack([pixels, np.zeros((16, 16), np.uint8)]))
    assert (np.asarray(reread(image, kind, **LOSSLESS[kind])) == pixels).all()


def test_a_blank_image_is_white():
    assert to_rgb(Image.new("RGBA", (4, 4), (9, 200, 0, 0))).getpixel((1, 1)) == WHITE


def test_premultiplied_grays():
    image = to_rgb(Image.new("LA", (4, 4), (200, 128)).convert("La"))
    assert abs(image.getpixel((1, 1))[0] - (200 * 128 / 255 + 127)) <= 1
