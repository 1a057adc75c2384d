import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from headstart.images.differentiable_resize import DifferentiableResize
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize, prepare
from tests.properties import examples

LITE = Preprocessing(
    size=256, crop=224, interpolation=Interpolation.BICUBIC, mean=(0, 0, 0), std=(1, 1, 1)
)


def both(preprocessing: Preprocessing, width: int, height: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = prepare(Image.fromarray(pixels), preprocessing).astype(int)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    found = DifferentiableResize(preprocessing, width, height)(x)[0].permute(1, 2, 0).numpy() * 255
    return found, expected


@examples(150)
@given(
    st.builds(
        Preprocessing,
        size=st.integers(8, 80),
        crop=st.integers(8, 80),
        interpolation=st.sampled_from(list(Interpolation)),
        resize=st.sampled_from(list(Resize)),
        mean=st.just((0, 0, 0)),
        std=st.just((1, 1, 1)),
        fill=st.tuples(*[st.integers(0, 255)] * 3),
    ),
    st.integers(1, 150),
    st.integers(1, 150),
)
@example(  # only the middle is made, and the order of the two passes decides what is clipped
    Preprocessing(
        size=38, crop=8, interpolation=Interpolation.LANCZOS, mean=(0, 0, 0), std=(1, 1, 1)
    ),
    8,
    12,
)
def test_gives_the_pixels_of_prepare(preprocessing: Preprocessing, width: int, height: int):
    found, expected = both(preprocessing, width, height)
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    # Halves are rounded by Pillow's integers: one level in each of the two passes.
    assert difference.max() < 2.01
    if {width, height}.isdisjoint({2 * n for n in range(75)}):
        assert (difference > 0.5).mean() < 0.1


@pytest.mark.parametrize(
    ("width", "height"), [(500, 375), (375, 500), (224, 224), (64, 64), (1200, 900), (4000, 9)]
)
def test_photos_for_the_embedded_backbone(width: int, height: int):
    found, expected = both(LITE, width, height)
    difference = np.abs(found - expected)
    assert difference.max() < 1.01
    assert (difference > 0.5).mean() < 0.001


def test_the_gradient_is_that_of_the_resizing():
    """Against differences of Pillow's resizing in floating point, which does not round."""
    width, height = 90, 70
    preprocessing = Preprocessing(
        size=40, crop=32, interpolation=Interpolation.BICUBIC, mean=(0, 0, 0), std=(1, 1, 1)
    )
    twin = DifferentiableResize(preprocessing, width, height)
    rng = np.random.default_rng(0)
    plane = rng.uniform(0.2, 0.8, (height, width)).astype(np.float32)
    ahead = rng.normal(size=(height, width)).astype(np.float32)
    weights = rng.normal(size=(32, 32)).astype(np.float32)

    def resized(values: np.ndarray) -> np.ndarray:
        across, down = preprocessing.resized(width, height)
        image = Image.fromarray(values).resize((across, down), Image.Resampling.BICUBIC)
        left, top = round((across - 32) / 2), round((down - 32) / 2)
        return np.asarray(image.crop((left, top, left + 32, top + 32)))

    expected = ((resized(plane + ahead) - resized(plane)) * weights).sum()  # it is linear
    x = torch.from_numpy(plane).expand(1, 3, height, width).clone().requires_grad_()
    (gradient,) = torch.autograd.grad((twin(x)[:, 0] * torch.from_numpy(weights)).sum(), x)
    found = (gradient[0, 0] * torch.from_numpy(ahead)).sum()
    assert float(found) == pytest.approx(float(expected), rel=1e-3)
    assert not gradient[0, 1:].any()


def test_outside_the_crop_there_is_no_gradient():
    twin = DifferentiableResize(LITE, 600, 300)
    x = torch.rand(1, 3, 300, 600, requires_grad=True)
    (gradient,) = torch.autograd.grad(twin(x).sum(), x)
    assert not gradient[..., :100].any()
    assert gradient[..., 200:400].abs().sum() > 0
