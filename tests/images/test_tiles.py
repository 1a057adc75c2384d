import itertools

import numpy as np
import pytest
from PIL import Image

from headstart.images.marks import marked
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.images.sizes import typical_size
from headstart.images.tiles import MAX_PIXELS, PixelBox, TileGrid, Tiles

SIDE = 32


def tiles(averages: int = 1) -> Tiles:
    return Tiles(
        Preprocessing(
            size=SIDE,
            crop=SIDE,
            interpolation=Interpolation.BICUBIC,
            mean=(0, 0, 0),
            std=(1, 1, 1),
        ),
        averages=averages,
    )


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (100, 70), (320, 64), (1600, 1200)])
def test_tiles_cover_an_image_and_overlap(size):
    grid = TileGrid.of(size[0], size[1], SIDE)
    assert grid.resized == size
    assert grid.scale == (1, 1)
    seen = np.zeros(size[::-1], int)
    for box in grid.boxes():
        assert (box.right - box.left, box.bottom - box.top) == (SIDE, SIDE)
        seen[box.top : box.bottom, box.left : box.right] += 1
    assert seen.min() == 1
    for edges in ({(one.left, one.right) for one in grid.boxes()},
                  {(one.top, one.bottom) for one in grid.boxes()}):  # fmt: skip
        ordered = sorted(edges)
        shared = [a[1] - b[0] for a, b in itertools.pairwise(ordered)]
        assert all(pixels >= 0.1 * SIDE - 1 for pixels in shared)


def test_images_that_are_too_small_or_too_large_for_tiles():
    small = TileGrid.of(20, 10, SIDE)
    assert small.resized == (64, 32)
    assert small.scale == pytest.approx((20 / 64, 10 / 32))
    large = TileGrid.of(4000, 3000, SIDE)
    wide, high = large.resized
    assert wide * high == pytest.approx(MAX_PIXELS, rel=0.01)
    assert wide / high == pytest.approx(4 / 3, rel=0.01)
    thin = TileGrid.of(60_000, 3, SIDE)
    assert thin.resized[1] == SIDE
    assert thin.resized[0] * SIDE <= MAX_PIXELS
    assert tiles().min_decode_size(4000, 3000) == (2 * wide, 2 * high)


def test_tiles_are_the_pixels_of_the_image():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    found = tiles().prepare(Image.fromarray(pixels))
    boxes = tiles().grid((70, 50)).boxes()
    assert found.shape == (len(boxes), SIDE, SIDE, 3)
    for one, box in zip(found, boxes, strict=True):
        np.testing.assert_array_equal(one, pixels[box.top : box.bottom, box.left : box.right])


def test_pooling():
    rng = np.random.default_rng(0)
    mean, highest, logits = (rng.normal(size=(9, width)).astype(np.float32) for width in (4, 4, 2))
    pooled = tiles().pool([mean, highest, logits], np.array([0, 2, 3]))
    images = [slice(0, 2), slice(2, 3), slice(3, 9)]
    for found, rows, combine in (
        (pooled[0], mean, np.mean),
        (pooled[1], highest, np.max),
        (pooled[2], logits, np.mean),
    ):
        expected = [combine(rows[one], axis=0) for one in images]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_boxes():
    box = PixelBox(10, 20, 30, 40)
    assert box.moved(5, -5) == (15, 15, 35, 35)
    assert box.scaled(2, 0.5) == (20, 10, 60, 20)
    assert box.overlaps(PixelBox(29, 39, 40, 60))
    assert not box.overlaps(PixelBox(0, 0, 10, 60))
    assert not box.overlaps(PixelBox(30, 20, 40, 40))


def test_marks_hide_nothing_in_the_box():
    image, box = Image.new("RGB", (90, 60), "gray"), PixelBox(20, 10, 50, 40)
    found = np.asarray(marked(image, [box]))
    inside = found[box.top : box.bottom, box.left : box.right]
    assert (inside == np.asarray(image)[0, 0]).all()
    assert (found[box.top + 5] != found[0, 0]).any()
    assert (np.asarray(image) == np.asarray(image)[0, 0]).all()


def test_the_typical_size(tmp_path):
    assert typical_size([]) is None
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, size in zip(paths, [(8, 9), (40, 30), (90, 80)], strict=False):
        Image.new("RGB", size).save(path)
    paths[3].write_text("no image")
    assert typical_size(paths) == (40, 30)
    assert typical_size(paths[3:]) is None
