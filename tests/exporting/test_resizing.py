"""The graph's resizing, against Pillow's."""

import numpy as np
import pytest
from PIL import Image

from headstart.exporting.resizing import center_crop
from headstart.exporting.tiling import tile_crops
from headstart.images import tiles
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize, prepare
from headstart.images.reduction import reduction_factor
from headstart.images.tiles import Tiles
from tests.exporting.graphs import RUNTIMES, model_of, runner

SIZES = [(50, 37), (37, 50), (1, 1), (1, 40), (300, 1), (32, 32), (90, 33), (3, 2), (64, 61)]
IMAGE = {"image": (np.uint8, ["H", "W", 3])}


def how(size: int, crop: int, interpolation: str, resize: Resize = Resize.SHORTER, **more):
    return Preprocessing(
        size=size,
        crop=crop,
        interpolation=Interpolation(interpolation),
        resize=resize,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        **more,
    )


def photo(width: int, height: int) -> Image.Image:
    """Smooth structure with edges, of any size."""
    rng = np.random.default_rng([width, height])
    small = rng.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


HOWS = [
    how(36, 32, "bicubic"),
    how(32, 32, "bilinear", Resize.STRETCH),
    how(33, 32, "lanczos", Resize.LONGER, fill=(3, 50, 200)),
    how(28, 32, "bilinear"),
    how(41, 30, "bicubic"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preprocessing", "runtime"),
    [*((one, RUNTIMES[0]) for one in HOWS), (HOWS[2], RUNTIMES[1]), (HOWS[4], RUNTIMES[1])],
    ids=str,
)
def test_pixels_are_those_that_pillow_makes(preprocessing, runtime):
    run = runner(model_of(IMAGE, lambda image: [center_crop(image, preprocessing)]), runtime)
    values = []
    for size in SIZES:
        image = photo(*size)
        assert reduction_factor(size, preprocessing.min_decode_size(*size)) == 1
        (found,) = run(np.asarray(image))
        values.append(found[0].astype(int) - prepare(image, preprocessing))
    differences = np.abs(np.stack(values))
    # Pillow may resize the height of tall images first, and halves may go the other way.
    assert differences.max() <= 6
    assert (differences > 1).mean() < 0.01
    assert differences.mean() < 0.05


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_nearest_pixel(runtime):
    preprocessing = how(36, 32, "nearest")
    run = runner(model_of(IMAGE, lambda image: [center_crop(image, preprocessing)]), runtime)
    image = photo(50, 37)
    (found,) = run(np.asarray(image))
    assert (found[0] != prepare(image, preprocessing)).mean() < 0.05  # halves between two pixels


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_large_images_are_averaged_first_as_their_files_are_decoded(factor):
    preprocessing = how(36, 32, "bicubic")
    run = runner(model_of(IMAGE, lambda image: [center_crop(image, preprocessing)]), "onnxruntime")
    width, height = 75 * factor + 1, 73 * factor + 3
    image = photo(width, height)
    assert reduction_factor(image.size, preprocessing.min_decode_size(width, height)) == factor
    (found,) = run(np.asarray(image))
    expected = prepare(image.reduce(factor), preprocessing)
    assert np.abs(found[0].astype(int) - expected).max() <= 2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tiles_are_those_of_the_presentation(runtime, monkeypatch):
    for module in ("headstart.exporting.tiling", "headstart.images.tiles"):
        monkeypatch.setattr(f"{module}.MAX_PIXELS", 20_000)
    preprocessing = how(32, 32, "bilinear")
    assert tiles.MAX_PIXELS == 20_000
    run = runner(model_of(IMAGE, lambda image: [tile_crops(image, preprocessing)]), runtime)
    for size in [(100, 70), (31, 64), (1, 40), (200, 180), (33, 290)]:
        image = photo(*size)
        (found,) = run(np.asarray(image))
        expected = Tiles(preprocessing, averages=1).prepare(image)
        assert found.shape == expected.shape
        differences = np.abs(found.astype(int) - expected)
        assert differences.max() <= 8
        assert differences.mean() < 0.1
