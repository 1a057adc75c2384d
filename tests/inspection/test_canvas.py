"""Views of the canvas are those of the image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from headstart.images.differentiable_resize import DifferentiableResize
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize, prepare
from headstart.inspection.canvas import Canvas
from headstart.inspection.image_tensor import to_array, to_tensor

MARGIN = Preprocessing(
    size=64, crop=56, interpolation=Interpolation.BICUBIC, mean=(0, 0, 0), std=(1, 1, 1)
)
CENTER = replace(MARGIN, size=88, crop=88)
WHOLE = replace(MARGIN, size=72, crop=72, resize=Resize.STRETCH)
PADDED = replace(MARGIN, size=80, crop=80, resize=Resize.LONGER, fill=(9, 200, 30))
SETS = [
    (MARGIN, CENTER), (CENTER, MARGIN), (MARGIN, replace(MARGIN, size=78, crop=70)),
    (MARGIN, WHOLE), (CENTER, PADDED), (WHOLE, PADDED, MARGIN),
]  # fmt: skip


def smooth(width: int, height: int) -> Image.Image:
    """An image without detail, which resizing twice does not change."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(9)), np.float64)
    low, high = blurred.min(), blurred.max()
    return Image.fromarray(((blurred - low) / (high - low) * 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(300, 200), (170, 260), (150, 150)], ids=str)
@pytest.mark.parametrize("views", SETS)
def test_views_of_the_canvas_are_those_of_the_image(views, size):
    canvas, image = Canvas.of(views), smooth(*size)
    pixels = to_tensor(prepare(image, canvas.preprocessing))
    side = canvas.preprocessing.crop
    for view, resized in zip(views, canvas.resized(*size), strict=True):
        resize = DifferentiableResize(view, side, side, resized=resized)
        expected = prepare(image, view).astype(int)
        difference = np.abs(to_array(resize(pixels))[0] - expected).mean()
        # Centers are rounded to whole pixels, once more than in the view.
        assert difference < 0.6 * np.abs(np.diff(expected, axis=1)).mean()


def test_a_single_view_is_its_own_canvas():
    assert Canvas.of([MARGIN]).preprocessing == MARGIN
    assert not Canvas.of([WHOLE]).shows_whole_images


def test_the_canvas_is_no_larger_than_the_largest_view():
    found = Canvas.of([MARGIN, CENTER]).preprocessing
    assert (found.size, found.crop, found.resize) == (88, 88, Resize.SHORTER)
    found = Canvas.of([MARGIN, replace(MARGIN, size=78, crop=70)]).preprocessing
    assert (found.size, found.crop) == (78, 78)
    found = Canvas.of([CENTER, WHOLE]).preprocessing
    assert (found.size, found.crop, found.resize) == (132, 132, Resize.STRETCH)


@pytest.mark.parametrize("interpolation", Interpolation)
def test_a_view_of_the_canvas_is_pillows(interpolation: Interpolation):
    view = replace(MARGIN, interpolation=interpolation)
    canvas = Canvas.of([view, CENTER])
    pixels = np.random.default_rng(1).integers(0, 256, (88, 88, 3), dtype=np.uint8)
    ((width, height), _) = canvas.resized(1, 1)
    filtering = Image.Resampling[interpolation.name]
    whole = Image.fromarray(pixels).resize((width, height), filtering)
    left, top = round((width - 56) / 2), round((height - 56) / 2)
    expected = np.asarray(whole.crop((left, top, left + 56, top + 56))).astype(int)
    resize = DifferentiableResize(view, 88, 88, resized=(width, height))
    found = to_array(resize(to_tensor(pixels)))[0].astype(int)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.02
    exact = resize(to_tensor(pixels), rounded=False)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(exact - expected).max() < 1.3
    assert np.abs(exact - exact.round()).max() > 0.2 or interpolation is Interpolation.NEAREST


def test_changes_of_less_than_a_level_reach_the_view():
    resize = DifferentiableResize(MARGIN, 88, 88, resized=(64, 64))
    gray = torch.full((1, 3, 88, 88), 100 / 255)
    change = resize(gray + 0.25 / 255, rounded=False) - resize(gray, rounded=False)
    torch.testing.assert_close(change, torch.full_like(change, 0.25 / 255), rtol=0.01, atol=0)
    assert torch.equal(resize(gray + 0.25 / 255), resize(gray))
