import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageEnhance, ImageOps
from skimage import data
from skimage.feature import match_template

from headstart.images import alignment
from headstart.images.alignment import SIDE, similarities, similarity, thumbnail
from tests.properties import examples

grays = hnp.arrays(np.float32, (SIDE, SIDE), elements=st.floats(0, 255, width=32))
COPY = 0.88


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    return [Image.fromarray(one).convert("RGB") for one in pictures]


def cropped(image: Image.Image, left: float, top: float, share: float = 0.9) -> Image.Image:
    width, height = image.size
    x, y = left * width, top * height
    return image.crop((round(x), round(y), round(x + share * width), round(y + share * height)))


CHANGES = {
    "half": lambda image: image.reduce(2),
    "tall half": lambda image: image.resize((image.width // 2, image.height)),
    "mirrored": ImageOps.mirror,
    "cropped": lambda image: cropped(image, 0.02, 0.08),
    "cropped in one corner": lambda image: cropped(image, 0.1, 0.0),
    "banner cut off": lambda image: image.crop((0, 0, image.width, round(image.height * 0.9))),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.5),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.5),
    "mirrored and cropped": lambda image: cropped(ImageOps.mirror(image), 0.05, 0.05),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_similar_to_its_original(photos: list[Image.Image], change: str):
    for photo in photos:
        assert similarity(thumbnail(photo), thumbnail(CHANGES[change](photo))) > COPY


def test_different_photos_are_not_similar(photos: list[Image.Image]):
    small = np.stack([thumbnail(photo) for photo in photos])
    first, second = np.triu_indices(len(small), 1)
    assert similarities(small[first], small[second]).max() < 0.6


def test_correlation_is_that_of_scikit_image(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alignment, "_FLAT", 0.0)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (3, SIDE, SIDE)).astype(np.float32)
    templates = rng.normal(size=(3, 28, 25)).astype(np.float32)
    found = alignment._Scenes(images).correlation(templates)
    scenes = alignment._band(images, SIDE, SIDE)
    expected = [match_template(a, b).max() for a, b in zip(scenes, templates, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@examples(30)
@given(grays, grays)
def test_similarity_is_symmetric_and_in_range(a: np.ndarray, b: np.ndarray):
    assert -1 <= similarity(a, b) <= 1
    assert similarity(a, b) == pytest.approx(similarity(b, a), abs=1e-4)


@examples(30)
@given(grays)
def test_an_image_with_contrast_is_similar_to_itself_and_its_mirror_image(a: np.ndarray):
    if alignment._band(a[None], SIDE, SIDE)[:, 4:-4, 4:-4].std() > 8:
        assert similarity(a, a) > 0.99
        assert similarity(a, a[:, ::-1]) > 0.99


@examples(30)
@given(st.floats(0, 255), st.floats(0, 255))
def test_blank_images_are_not_similar(a: float, b: float):
    blank = np.ones((SIDE, SIDE), np.float32)
    assert abs(similarity(a * blank, b * blank)) < 0.01


def test_batches_give_the_same_as_single_pairs():
    A, B = np.random.default_rng(1).uniform(0, 255, (2, 300, SIDE, SIDE)).astype(np.float32)
    found = similarities(A, B)
    for row in (0, 255, 256, 299):
        assert found[row] == pytest.approx(similarity(A[row], B[row]), abs=1e-5)


def test_no_pairs_are_no_similarities():
    assert similarities(*np.empty((2, 0, SIDE, SIDE), np.float32)).shape == (0,)
