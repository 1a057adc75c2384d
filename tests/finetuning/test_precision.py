"""bfloat16 for what gains by it, float32 for the rest, against plain float32."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from headstart.finetuning import precision
from headstart.finetuning.precision import half_precision, has_half

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("groups", "dtype"), [(1, torch.bfloat16), (4, torch.bfloat16), (8, torch.float32)]
)
def test_depthwise_convolutions_stay_in_full(groups: int, dtype: torch.dtype):
    maps, weight = torch.randn(2, 8, 5, 5), torch.randn(8, 8 // groups, 3, 3)
    with half_precision("cpu"):
        assert nn.Conv2d(8, 8, 3, groups=groups)(maps).dtype is dtype
        assert conv2d(maps, weight, groups=groups).dtype is dtype
        assert conv2d(input=maps, weight=weight, groups=groups).dtype is dtype
        # Filters that were themselves computed, as conditional convolutions do.
        assert conv2d(maps.bfloat16(), weight.bfloat16(), None, 1, 0, 1, groups).dtype is dtype
        assert conv2d(maps, weight.bfloat16(), groups=groups).dtype is dtype
        assert (maps.flatten(1) @ torch.randn(200, 3)).dtype is torch.bfloat16
    assert nn.Conv2d(8, 8, 3)(maps).dtype is torch.float32


def test_gradients_are_those_of_full_precision_but_for_rounding():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU6(), nn.Conv2d(16, 16, 3, groups=16),
        nn.BatchNorm2d(16), nn.ReLU6(), nn.Conv2d(16, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    pixels, gradients = torch.randn(16, 3, 12, 12), []
    for half in (False, True):
        network.zero_grad()
        if half:
            with half_precision("cpu"):
                outputs = network(pixels)
        else:
            outputs = network(pixels)
        outputs.float().square().mean().backward()
        gradients.append([one.grad.clone() for one in network.parameters()])
    full = torch.cat([one.flatten() for one in gradients[0]])
    half = torch.cat([one.flatten() for one in gradients[1]])
    assert half.dtype is torch.float32
    assert 0 < (half - full).norm() < 0.03 * full.norm()


def test_half_is_for_processors_that_have_it(monkeypatch: pytest.MonkeyPatch):
    for has in (True, False):
        monkeypatch.setattr(precision, "has_bfloat16", lambda has=has: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert has_half("cpu") is has_half("cuda") is has
