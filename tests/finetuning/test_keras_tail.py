"""A tail of Keras's layers trains like any other, and goes back into its network by name."""

import numpy as np
import pytest
import torch

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.cut import PIXELS, cut
from headstart.backbones.stages import LOGITS
from headstart.backbones.torch_backbone import TorchBackbone, stages_of
from headstart.finetuning.network import ProbeHead, TunedNetwork
from headstart.finetuning.optimization import build_optimizer
from headstart.finetuning.settings import BatchNorm, TuningSettings
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import Standardization
from tests.backbones.keras_models import PLAIN, network_of, tiny_model

pytestmark = pytest.mark.slow

MOMENTS = ("first_bn.moving_mean", "first_bn.moving_variance")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    network = network_of(tiny_model())
    return TorchBackbone(
        name="keras:Tiny",
        preprocessing=PLAIN,
        stages=stages_of(network, 32),
        labels=tuple("0123456789"),
        weights=Weights(source="made-up", digest="0" * 32, license="MIT"),
        staged=network,
    )


def tuned_network(backbone: Backbone, stage: str) -> TunedNetwork:
    """With a head of three classes on the deepest stage and the logits."""
    heads = ("last", LOGITS)
    halves = cut(backbone.network(), stage, 32, wanted=heads)
    rng = np.random.default_rng(0)
    probe = ProbeHead(
        stages=heads,
        head=LinearHead(
            rng.normal(size=(3, 34)).astype(np.float32), rng.normal(size=3).astype(np.float32)
        ),
        temperature=1.0,
        moments=Standardization(np.zeros(34, np.float32), np.ones(34, np.float32)),
    )
    return TunedNetwork(halves, probe)


def train(backbone: Backbone, network: TunedNetwork, batch_norm: BatchNorm) -> None:
    """One step on noise, all of the network being tail."""
    stages = [stage.name for stage in backbone.stages]
    optimizer = build_optimizer(network, stages, TuningSettings(), rate=0.01)
    network.prepare_training(batch_norm)
    shown = torch.rand((8, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    network(shown, []).square().sum().backward()
    optimizer.step()
    network.eval()


@pytest.mark.parametrize("batch_norm", [BatchNorm.FROZEN, BatchNorm.UPDATED])
def test_what_was_trained_goes_back_by_name(backbone: Backbone, batch_norm: BatchNorm):
    network = tuned_network(backbone, PIXELS)
    train(backbone, network, batch_norm)
    given, tail = backbone.tensors(), network.tensors()
    assert list(tail) == list(given)
    changed = {name for name in tail if not np.array_equal(tail[name], given[name])}
    assert set(given) - changed == (set(MOMENTS) if batch_norm is BatchNorm.FROZEN else set())
    whole = backbone.with_tensors({**given, **tail}).network()
    shown = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        *_, last, logits = whole(shown)
        found = network((shown - whole.mean) / whole.std, [])
    expected = network.linear_head().logits(torch.cat([last, logits], 1).numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_short_tail_has_names_of_the_whole_network(backbone: Backbone):
    tail = tuned_network(backbone, "add").tensors()
    assert set(tail) == {name for name in backbone.tensors() if name.startswith(("last", "logits"))}


def test_each_layer_learns_at_the_rate_of_its_stage(backbone: Backbone):
    network = tuned_network(backbone, PIXELS)
    stages = [stage.name for stage in backbone.stages]
    assert stages == ["wide", "add", "last"]
    optimizer = build_optimizer(
        network, stages, TuningSettings(rate_decay=0.5, head_rate=1.0), rate=1.0
    )
    names = {id(one): name for name, one in network.named_parameters()}
    rates = {
        names[id(one)].removeprefix("tail.graph."): group["lr"]
        for group in optimizer.param_groups
        for one in group["params"]
    }
    assert rates["first.kernel"] == rates["first_bn.gamma"] == rates["wide.bias"] == 0.25
    assert rates["depthwise.kernel"] == rates["left.kernel"] == rates["residual.bias"] == 0.5
    assert rates["last.kernel"] == rates["logits.kernel"] == 1.0
