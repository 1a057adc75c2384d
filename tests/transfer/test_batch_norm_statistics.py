"""Both forms of a network see the same moments before each batch normalization."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.staged import StagedNetwork
from headstart.transfer import batch_norm_statistics
from headstart.transfer.batch_norm_statistics import batch_moments
from headstart.transfer.random_weights import natural_noise
from tests.conftest import tiny_backbone

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fresh", [False, True])
def test_openvino_and_pytorch_agree(lite0: Backbone, fresh: bool):
    pixels = natural_noise(3, lite0.preprocessing.crop, seed=3)
    ours = batch_moments(lite0, pixels, fresh=fresh)
    by_pytorch = replace(tiny_backbone(), network=lite0.network, has_graph=False)
    theirs = batch_moments(by_pytorch, pixels, fresh=fresh)
    assert list(ours) == list(theirs)
    assert {f"{name}.running_mean" for name in ours} == {
        name for name in lite0.tensors() if name.endswith("running_mean")
    }
    for name, mine in ours.items():
        scale = np.sqrt(theirs[name].variance.max())
        np.testing.assert_allclose(mine.mean, theirs[name].mean, atol=1e-3 * scale)
        np.testing.assert_allclose(mine.variance, theirs[name].variance, atol=1e-3 * scale**2)


def test_fresh_moments_are_those_that_training_stores(lite0: Backbone):
    pixels = natural_noise(3, lite0.preprocessing.crop, seed=4)
    model = lite0.network().model
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum, module.training = 1.0, True
    network = lite0.network()
    network.model = model
    with torch.inference_mode():
        model((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    state = model.state_dict()
    for name, found in batch_moments(lite0, pixels, fresh=True).items():
        stored = state[f"{name}.running_mean"].numpy()
        np.testing.assert_allclose(found.mean, stored, atol=5e-3 * np.abs(stored).max())


def test_batches_add_up_to_the_moments_of_all(lite0: Backbone, monkeypatch: pytest.MonkeyPatch):
    pixels = natural_noise(3, lite0.preprocessing.crop, seed=5)
    whole = batch_moments(lite0, pixels)
    monkeypatch.setattr(batch_norm_statistics, "BATCH", 2)
    for name, parts in batch_moments(lite0, pixels).items():
        np.testing.assert_allclose(parts.mean, whole[name].mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(parts.variance, whole[name].variance, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="at most 2"):
        batch_moments(lite0, pixels, fresh=True)


def test_a_network_without_batch_normalization_has_none():
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Conv2d(3, 2, 3)
            self.head = torch.nn.Linear(2, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features(x).mean((2, 3)))

    tiny = tiny_backbone()
    network = StagedNetwork(Plain(), tiny.preprocessing, ["features"], head="head")
    backbone = replace(tiny, network=lambda: network, has_graph=False)
    assert batch_moments(backbone, natural_noise(1, 32, seed=0)) == {}


def test_the_tiny_backbone_has_no_such_form():
    with pytest.raises(NotImplementedError):
        batch_moments(tiny_backbone(), natural_noise(1, 16, seed=0))
