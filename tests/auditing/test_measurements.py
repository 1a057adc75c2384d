from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data
from skimage.measure import blur_effect

from headstart.auditing.image_quality import quality_issues
from headstart.auditing.issue import IssueKind
from headstart.auditing.measurements import blur, measure_images
from headstart.errors import UnreadableImageError
from tests.auditing.made_up import images, write_scenes


def noise(level: float, spread: float, side: int = 100) -> Image.Image:
    values = np.random.default_rng(0).normal(level, spread, (side, side, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("picture", [data.camera(), data.coins(), data.page()])
def test_blur_is_that_of_scikit_image(picture: np.ndarray):
    for sigma in (0, 2):
        image = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))
        gray = np.asarray(image, np.float32)
        assert blur(gray) == pytest.approx(blur_effect(gray, h_size=5), abs=0.02)


def test_blur_of_a_blank_image_is_a_number():
    assert blur(np.zeros((20, 30), np.float32)) == 0


def test_numbers_of_an_image(tmp_path: Path):
    gray = np.zeros((300, 200), np.uint8)
    gray[:, 100:] = 200
    Image.fromarray(gray).save(tmp_path / "a.png")
    found = measure_images([tmp_path / "a.png"])
    assert found.sizes.tolist() == [[200, 300]]
    assert found.contrast[0] == pytest.approx(100, abs=3)
    assert (found.darkest[0], found.brightest[0]) == (0, 200)
    assert found.thumbnails[0, :, 0].max() < 10 < 190 < found.thumbnails[0, :, -1].min()
    border = found.surroundings[0, : 28 * 3].reshape(28, 3)
    assert sorted(border[:, 0].round(2).tolist()) == pytest.approx([0] * 14 + [0.78] * 14, abs=0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2), (5, 7)])
def test_images_of_any_shape_are_measured(tmp_path: Path, size: tuple[int, int]):
    Image.new("RGB", size, (9, 99, 199)).save(tmp_path / "a.png")
    found = measure_images([tmp_path / "a.png"])
    assert found.sizes.tolist() == [list(size)]
    assert np.isfinite(found.surroundings).all()


def test_unreadable_files_are_skipped(tmp_path: Path):
    paths = write_scenes(tmp_path, range(3))
    paths[1].write_bytes(b"broken")
    found = measure_images([*paths, tmp_path / "missing.png"])
    assert found.rows.tolist() == [0, 2]
    assert len(found.skipped) == 2
    with pytest.raises(UnreadableImageError, match=r"none of 1 image can be read .1 not an image."):
        measure_images([paths[1]])


def test_unusable_images_are_found(tmp_path: Path):
    paths = write_scenes(tmp_path, range(20))
    bad = {
        IssueKind.BLANK: noise(128, 1),
        IssueKind.DARK: noise(12, 5),
        IssueKind.BRIGHT: noise(240, 5),
        IssueKind.TINY: noise(128, 40, side=20),
    }
    for kind, image in bad.items():
        image.save(tmp_path / f"{kind}.png")
        paths.append(tmp_path / f"{kind}.png")
    # The scenes are blurred themselves; here the sharp ones are the rule.
    issues = quality_issues(images(np.zeros(len(paths), int)), measure_images(paths))
    found = {one.path: one.kind for one in issues if one.kind is not IssueKind.BLURRED}
    assert found == {f"{20 + place:04}.jpg": kind for place, kind in enumerate(bad)}
    assert all(0 < one.score <= 1 for one in issues)


def test_a_blurred_photo_among_sharp_ones(tmp_path: Path):
    photos = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    paths = [tmp_path / f"{place}.png" for place in range(5)]
    for path, pixels in zip(paths, photos, strict=False):
        Image.fromarray(pixels).save(path)
    soft = Image.fromarray(data.astronaut()).filter(ImageFilter.GaussianBlur(12))
    soft.save(paths[4])
    issues = quality_issues(images(np.zeros(5, int)), measure_images(paths))
    assert [(one.path, one.kind) for one in issues] == [("0004.jpg", IssueKind.BLURRED)]


def test_what_all_images_have_in_common_is_no_issue(tmp_path: Path):
    paths = [tmp_path / f"{place}.png" for place in range(10)]
    for path in paths:
        noise(12, 5, side=28).save(path)
    assert quality_issues(images(np.zeros(10, int)), measure_images(paths)) == []
