"""Trunk, then tail, is the whole network, wherever it is cut."""

import numpy as np
import pytest
import torch
from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.cut import PIXELS, Cut, cut
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.stages import LOGITS
from headstart.errors import BackboneError
from headstart.finetuning.depth import last_convolutional_stage
from headstart.finetuning.trunk import CUT, trunk_backbone
from headstart.images.preprocessing import Interpolation, Preprocessing

pytestmark = pytest.mark.slow

# A residual one, fully connected stages, a pooled map after the last stage, tokens, (B, H, W, C);
# each with the input that it takes least time on.
NETWORKS = {
    "torchvision:resnet18": 64,
    "torchvision:alexnet": 64,
    "torchvision:mobilenet_v2": 64,
    "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k": 224,
    "torchvision:swin_t": 64,
}
PREPROCESSING = Preprocessing(
    size=32,
    crop=32,
    interpolation=Interpolation.BILINEAR,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)


@pytest.fixture(scope="module", params=NETWORKS)
def whole(request, with_random_weights) -> tuple[StagedNetwork, int]:
    return with_random_weights(request.param)[0].network(), NETWORKS[request.param]


def pixels(side: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def through(network: StagedNetwork, halves: Cut, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Features before the cut, those behind it and the logits, by way of the two halves."""
    if halves.trunk is None:
        return halves.tail((x - network.mean) / network.std)
    *before, flat = halves.trunk(x)
    assert flat.shape == (len(x), int(np.prod(halves.shape)))
    return (*before, *halves.tail(flat.view(len(x), *halves.shape)))


def assert_whole(network: StagedNetwork, side: int, stage: str) -> Cut:
    halves = cut(network, stage, side, wanted=(*network.stages, LOGITS))
    x = pixels(side)
    with torch.no_grad():
        expected, found = network(x), through(network, halves, x)
    assert len(found) == len(expected) == len(network.stages) + 1
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))
    return halves


def test_the_halves_are_the_whole_wherever_it_is_cut(whole):
    network, side = whole
    stages, known = network.stages, network.model.state_dict()
    for stage in dict.fromkeys((PIXELS, stages[0], stages[len(stages) // 2], stages[-2])):
        halves = assert_whole(network, side, stage)
        assert (halves.trunk is None) == (stage == PIXELS)
        state = halves.tail.graph.state_dict()
        assert state
        for name, value in state.items():
            assert torch.equal(value, known[name]), name
        if stage == PIXELS:
            assert state.keys() == known.keys()
        else:
            assert halves.trunk.stages == stages[: stages.index(stage) + 1]
            trained = {name for name, _ in halves.tail.graph.named_parameters()}
            frozen = {name for name, _ in halves.trunk.graph.named_parameters()}
            assert not trained & frozen
            assert trained | frozen == {name for name, _ in network.model.named_parameters()}


def test_behind_the_last_stage_the_classifier_is_left(whole):
    network, side = whole
    halves = assert_whole(network, side, network.stages[-1])
    classifier = network.model.get_submodule(network.head)
    assert {name for name, _ in halves.tail.graph.named_parameters()} == {
        f"{network.head}.{name}" for name, _ in classifier.named_parameters()
    }


def test_of_alexnet_the_textbooks_recipe_trains_the_fully_connected_layers(with_random_weights):
    network = with_random_weights("torchvision:alexnet")[0].network()
    section = last_convolutional_stage(network, 64)
    tail = cut(network, section, 64, wanted=(LOGITS,)).tail.graph
    dense = {name for name in network.model.state_dict() if name.startswith("classifier.")}
    assert len(dense) == 6
    assert tail.state_dict().keys() == dense


@pytest.fixture
def small() -> StagedNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    return StagedNetwork(model, PREPROCESSING, ["0", "2", "4"], head="5")


def test_training_the_tail_leaves_the_network_alone(small: StagedNetwork):
    before = {name: value.clone() for name, value in small.model.state_dict().items()}
    halves = cut(small, "0", 32, wanted=("4", LOGITS))
    tail = halves.tail.requires_grad_(True)
    optimizer = torch.optim.SGD(tail.parameters(), lr=1.0)
    *_, flat = halves.trunk(pixels(32))
    sum(one.square().sum() for one in tail(flat.view(-1, *halves.shape))).backward()
    optimizer.step()
    assert not torch.equal(tail.graph.state_dict()["2.weight"], before["2.weight"])
    for name, value in small.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(one.requires_grad for one in small.parameters())
    assert all(one.grad is None for one in small.parameters())


def test_only_what_is_wanted_is_kept(small: StagedNetwork):
    halves = cut(small, "0", 32, wanted=("2",))
    assert halves.tail.stages == ("2",)
    assert {name for name, _ in halves.tail.graph.named_parameters()} == {"2.weight", "2.bias"}
    *_, flat = halves.trunk(pixels(32))
    (found,) = halves.tail(flat.view(-1, *halves.shape))
    assert torch.allclose(found, small(pixels(32))[1], atol=1e-5)


def test_stages_up_to_the_cut_are_the_trunks(small: StagedNetwork):
    halves = cut(small, "2", 32, wanted=("0", "2", "4"))
    assert halves.trunk.stages == ("0", "2")
    assert halves.tail.stages == ("4",)


def test_an_unknown_stage_is_refused_with_those_there_are(small: StagedNetwork):
    with pytest.raises(BackboneError, match=r"cannot be cut at 'nowhere'; cut it at 0, 2, 4"):
        cut(small, "nowhere", 32, wanted=(LOGITS,))


class _Past(nn.Module):
    """What `first` makes reaches the end by two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.head((x + self.second(x)).mean((2, 3)))


class _Deciding(_Past):
    """Goes by the numbers that it computes, which no trace can follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        if x.sum() > 0:
            x = self.second(x)
        return self.head(x.mean((2, 3)))


def test_what_leads_past_a_cut_is_refused():
    network = StagedNetwork(_Past(), PREPROCESSING, ["first", "second", "end"], head="head",
                            modules={"end": "second"})  # fmt: skip
    cut(network, "first", 32, wanted=(LOGITS,))
    with pytest.raises(BackboneError, match="cannot be cut after second"):
        cut(network, "second", 32, wanted=(LOGITS,))


def test_what_cannot_be_traced_is_refused_with_the_reason():
    network = StagedNetwork(_Deciding(), PREPROCESSING, ["first", "second"], head="head")
    with pytest.raises(BackboneError, match=r"_Deciding cannot be cut in two .*another backbone"):
        cut(network, "first", 32, wanted=(LOGITS,))


@pytest.mark.parametrize("stage", ["blocks.0", "blocks.4", "head"])
def test_lites_graph_ends_where_the_network_is_cut(lite0: Backbone, stage: str):
    openvino = pytest.importorskip("openvino")
    network, side = lite0.network(), lite0.preprocessing.crop
    halves = assert_whole(network, side, stage)
    trunk = trunk_backbone(lite0, halves)
    names = [one.name for one in lite0.stages]
    assert [one.name for one in trunk.stages] == [*names[: names.index(stage) + 1], CUT]
    assert trunk.stages[-1].width == int(np.prod(halves.shape))
    compiled = openvino.Core().compile_model(
        trunk.graph(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    raw = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    found = list(compiled(raw).values())
    with torch.no_grad():
        expected = halves.trunk(torch.tensor(raw).permute(0, 3, 1, 2) / 255)
    assert len(found) == len(expected) == len(trunk.stages)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


def test_without_a_trunk_there_is_none_to_run(lite0: Backbone):
    halves = cut(lite0.network(), PIXELS, 224, wanted=(LOGITS,))
    assert halves.shape == (3, 224, 224)
    with pytest.raises(ValueError, match="no trunk"):
        trunk_backbone(lite0, halves)
