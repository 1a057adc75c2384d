"""Maps are what the library's own module computes; the order is that of a plain loop."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from headstart.backbones import Backbone
from headstart.backbones.staged import StagedNetwork
from headstart.errors import BackboneError, DataError
from headstart.images.preprocessing import Interpolation, Preprocessing, prepare
from headstart.inspection.differentiable_model import DifferentiableModel, DifferentiableView
from headstart.inspection.feature_maps import first_filters, stage_maps, strengths
from tests.backbones.conftest import picture, with_random_weights  # noqa: F401 - a fixture
from tests.properties import examples

pytestmark = pytest.mark.slow

LITE = "efficientnet-lite0"
NETWORKS = (
    LITE,
    "torchvision:squeezenet1_1",
    "torchvision:alexnet",
    "torchvision:resnet18",
    "torchvision:mobilenet_v2",
    "torchvision:swin_t",
    "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
)
GRAY = np.full((8, 8, 3), 100, np.uint8)


@dataclass(frozen=True)
class Pair:
    """A view, and the library's own network with the same weights."""

    view: DifferentiableView
    peer: nn.Module
    pixels: np.ndarray

    def hooked(self) -> dict[str, torch.Tensor]:
        """By stage, without a batch: what a hook on the peer sees of the picture."""
        seen: dict[str, torch.Tensor] = {}
        handles = []
        for stage in self.view.network.stages:
            module = self.peer.get_submodule("bn2" if stage == "head" else stage)
            keep = lambda _m, _i, output, stage=stage: seen.update({stage: output[0].clone()})  # noqa: E731
            handles.append(module.register_forward_hook(keep))
        mean, std = (
            np.array(values, np.float32)
            for values in (self.view.preprocessing.mean, self.view.preprocessing.std)
        )
        normalized = (self.pixels.astype(np.float32) / 255 - mean) / std
        with torch.no_grad():
            self.peer(torch.from_numpy(normalized.transpose(2, 0, 1)[None]))
        for handle in handles:
            handle.remove()
        return seen


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request, lite0: Backbone, with_random_weights) -> Pair:  # noqa: F811
    if request.param == LITE:
        backbone, peer = lite0, lite0.network().model
    else:
        backbone, peer = with_random_weights(request.param)
    pixels = prepare(picture(333, 517), backbone.preprocessing)
    return Pair(DifferentiableModel.of(backbone).view(None), peer, pixels)


def laid_out(output: torch.Tensor, channels: int) -> np.ndarray:
    """(C, H, W), written as loops over what the network's documentation says."""
    values = output.numpy()
    if values.ndim == 1:
        return values[:, None, None]
    if values.ndim == 2:  # a class token, then 14 x 14 patches
        assert len(values) == 197
        grid = np.zeros((channels, 14, 14), np.float32)
        for row in range(14):
            for column in range(14):
                grid[:, row, column] = values[1 + 14 * row + column]
        return grid
    return values if len(values) == channels else np.moveaxis(values, 2, 0)


def test_maps_are_those_of_a_hook_on_the_librarys_own_module(pair: Pair):
    found, expected = stage_maps(pair.view, pair.pixels, top=10**6), pair.hooked()
    assert [one.name for one in found] == list(pair.view.network.stages)
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    for one in found:
        maps = laid_out(expected[one.name], one.channels)
        assert (one.channels, one.height, one.width) == maps.shape
        assert sorted(channel.index for channel in one.ranked) == list(range(one.channels))
        scale = float(np.abs(maps).max())
        order = [channel.index for channel in one.ranked]
        np.testing.assert_allclose(one.maps, maps[order], atol=1e-4 * scale)
        for channel, own in zip(one.ranked, one.maps, strict=True):
            assert (channel.minimum, channel.maximum) == (own.min(), own.max())
            assert channel.strength == pytest.approx(strength_of(own), rel=1e-5, abs=1e-7 * scale)
        strong = [channel.strength for channel in one.ranked]
        assert strong == sorted(strong, reverse=True)


def strength_of(values: np.ndarray) -> float:
    flat = [float(value) for value in values.ravel()]
    if len(flat) == 1:
        return abs(flat[0])
    mean = math.fsum(flat) / len(flat)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in flat) / len(flat))


@examples(60)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(-100, 100, width=32),
    )
)
def test_the_strength_is_a_plain_standard_deviation(maps: np.ndarray):
    expected = [strength_of(own) for own in maps]
    np.testing.assert_allclose(strengths(maps), expected, rtol=1e-6, atol=1e-9)


def test_an_offset_is_no_strength():
    flat, spot = np.full((3, 3), 50.0, np.float32), np.zeros((3, 3), np.float32)
    spot[1, 1] = 1
    assert np.argmax(strengths(np.stack([flat, spot]))) == 1


class Given(nn.Module):
    """Ignores the picture: its stage's values are given."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.stem, self.stage, self.out = nn.Conv2d(3, 1, 1), nn.Identity(), nn.Linear(1, 2)
        self.values = values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.stage(self.values).mean((1, 2, 3))[:, None])


def differentiable(module: nn.Module, stages: list[str], head: str) -> DifferentiableView:
    preprocessing = Preprocessing(
        size=8, crop=8, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1)
    )
    return DifferentiableView(
        name="small",
        backbone="small",
        preprocessing=preprocessing,
        network=StagedNetwork(module, preprocessing, stages, head=head),
        head_stages=(stages[-1],),
    )


def given_view(values: torch.Tensor) -> DifferentiableView:
    return differentiable(Given(values), ["stage"], "out")


def test_of_equals_the_first_comes_first_and_there_are_never_more_than_asked():
    values = torch.zeros(1, 6, 2, 2)
    values[0, 4, 0, 0] = 1
    (found,) = stage_maps(given_view(values), GRAY, top=3)
    assert [channel.index for channel in found.ranked] == [4, 0, 1]
    assert found.maps.shape == (3, 2, 2)
    (all_,) = stage_maps(given_view(values), GRAY, top=100)
    assert len(all_.ranked) == all_.channels == 6


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(bad: float):
    with pytest.raises(DataError, match="stage stage computes NaN or infinity"):
        stage_maps(given_view(torch.full((1, 2, 2, 2), bad)), GRAY)


def test_stages_come_from_shallow_to_deep_whatever_the_order_asked_for(lite0: Backbone):
    view = DifferentiableModel.of(lite0).view(None)
    pixels = prepare(picture(97, 131), view.preprocessing)
    found = stage_maps(view, pixels, stages=["head", "blocks.1", "head"], top=2)
    assert [(one.name, one.number) for one in found] == [("blocks.1", 2), ("head", 8)]
    again = stage_maps(view, pixels, top=2)
    assert np.array_equal(found[1].maps, again[7].maps)
    with pytest.raises(
        BackboneError, match=r"no stage 'blocks.9'; its stages are blocks.0, .*head"
    ):
        stage_maps(view, pixels, stages=["blocks.9"])


def test_filters_are_the_weights_of_the_first_convolution(pair: Pair):
    layers = {
        LITE: "conv_stem",
        "torchvision:resnet18": "conv1",
        "torchvision:mobilenet_v2": "features.0.0",
        "torchvision:swin_t": "features.0.0",
        "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k": "patch_embed.proj",
    }
    found = first_filters(pair.view.network)
    assert found.layer == layers.get(pair.view.name, "features.0")
    assert np.array_equal(
        found.values, pair.peer.get_submodule(found.layer).weight.numpy(force=True)
    )
    assert found.values.shape[1] == 3


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 1)), "Conv2d of 12 inputs"),
        (nn.Conv2d(3, 3, 1, groups=3), "Conv2d of 1 inputs"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "Linear of 192 inputs"),
    ],
)
def test_filters_that_are_no_pictures_are_refused(first: nn.Module, kind: str):
    model = nn.Sequential(first, nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, 3, 8, 8))
    with pytest.raises(DataError, match=f"{kind} and not of red, green and blue"):
        first_filters(differentiable(model, ["1"], "2").network)
