"""Every network is frozen, deterministic, and its last stage is what its classifier sees."""

import copy
import threading

import pytest
import torch
from torch import nn

from headstart.backbones.staged import StagedNetwork, on_grid, pooled
from headstart.errors import BackboneError
from headstart.images.preprocessing import Interpolation, Preprocessing

pytestmark = pytest.mark.slow

PREPROCESSING = Preprocessing(
    size=32,
    crop=32,
    interpolation=Interpolation.BILINEAR,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)
# One of every way to end: pooled map, hidden layer, token, normalized map, (B, H, W, C), mutated
# in place, pooled after the classifier; each with the input that it takes least time on.
FAMILIES = {
    "torchvision:resnet18": 64,
    "torchvision:mobilenet_v3_small": 64,
    "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k": 224,
    "torchvision:convnext_tiny": 64,
    "torchvision:swin_t": 64,
    "torchvision:densenet121": 64,
    "torchvision:shufflenet_v2_x1_0": 64,
}


@pytest.fixture(scope="module", params=FAMILIES)
def backbone(request, with_random_weights):
    return with_random_weights(request.param)[0]


def random_pixels(backbone, count=1):
    generator = torch.Generator().manual_seed(0)
    side = FAMILIES.get(backbone.name, 64)
    return torch.rand(count, 3, side, side, generator=generator)


def test_frozen_and_in_eval_mode(backbone):
    network = backbone.network()
    for mode in (network, network.train(), network.train(True), network.eval()):
        assert not any(module.training for module in mode.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not {"mean", "std"} & set(network.state_dict())


def test_deterministic_and_whole(backbone):
    x = random_pixels(backbone, 2)
    network = backbone.network()
    before = [value.clone() for value in network.state_dict().values()]
    with torch.no_grad():
        first, second, other = network(x), network(x), backbone.network()(x)
        logits = network.logits(x)
    assert all(
        torch.equal(a, b) and torch.equal(a, c)
        for a, b, c in zip(first, second, other, strict=True)
    )
    assert torch.equal(first[-1], logits)
    assert all(
        torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True)
    )
    assert [y.shape for y in first[:-1]] == [(2, stage.width) for stage in backbone.stages]
    assert logits.shape == (2, len(backbone.labels))


def test_last_stage_is_the_input_of_the_classifier(backbone):
    network = backbone.network()
    with torch.no_grad():
        *_, features, logits = network(random_pixels(backbone))
    [classifier] = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
    assert classifier.out_features == len(backbone.labels)
    assert torch.allclose(classifier(features), logits, rtol=1e-5, atol=1e-6)


def test_activations_are_what_is_pooled(backbone):
    network = backbone.network()
    x = random_pixels(backbone)
    with torch.no_grad():
        maps, outputs = network.activations(x), network(x)
    assert list(maps) == [stage.name for stage in backbone.stages]
    for stage, output in zip(backbone.stages[:-1], outputs, strict=False):
        assert maps[stage.name].shape[2 if maps[stage.name].ndim == 3 else 1] == stage.width
        assert torch.allclose(pooled(maps[stage.name]), output, rtol=1e-4, atol=1e-5)


def test_watching_gives_the_features_of_a_plain_pass(backbone):
    network = backbone.network()
    x = random_pixels(backbone)
    with torch.no_grad():
        seen, outputs = network.watch(x), network(x)
    assert list(seen.features) == [stage.name for stage in backbone.stages]
    for found, expected in zip((*seen.features.values(), seen.logits), outputs, strict=True):
        assert torch.equal(found, expected)


def test_gradients_reach_maps_and_pixels(backbone):
    network = backbone.network()
    x = random_pixels(backbone).requires_grad_()
    seen = network.watch(x)
    maps, logits = seen.maps, seen.logits
    for stage in (backbone.stages[0].name, backbone.stages[-1].name):
        (gradient,) = torch.autograd.grad(logits[0, 3], maps[stage], retain_graph=True)
        assert gradient.shape == maps[stage].shape
        assert gradient.abs().sum() > 0
    (gradient,) = torch.autograd.grad(logits[0, 3], x)
    assert gradient.abs().sum() > 0


@pytest.fixture
def small() -> StagedNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    return StagedNetwork(
        model, PREPROCESSING, ["0", "features"], head="4", modules={"features": "1"}
    )


def test_normalizes(small):
    x = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor(PREPROCESSING.mean), torch.tensor(PREPROCESSING.std)
    expected = small.model(((x.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2))
    assert torch.allclose(small.logits(x), expected, atol=1e-6)


def test_stages_may_have_names_of_their_own(small):
    x = torch.rand(2, 3, 32, 32)
    assert list(small.activations(x)) == ["0", "features"]
    assert [tuple(y.shape) for y in small(x)] == [(2, 4), (2, 4), (2, 5)]


def test_nothing_stays_behind(small):
    before = {key: id(value) for key, value in vars(small).items()}
    small(torch.rand(1, 3, 32, 32))
    assert {key: id(value) for key, value in vars(small).items()} == before
    with pytest.raises(RuntimeError):
        small(torch.rand(1, 3, 2, 2))  # smaller than the kernel
    assert small.model(torch.rand(1, 3, 32, 32)).shape == (1, 5)


def test_copies_are_independent(small):
    twin = copy.deepcopy(small)
    x = torch.rand(1, 3, 32, 32)
    before = small(x)
    with torch.no_grad():
        twin.model[0].weight.zero_()
    assert all(torch.equal(a, b) for a, b in zip(small(x), before, strict=True))
    assert not torch.equal(twin(x)[0], before[0])


def test_threads_do_not_mix(small):
    inputs = [torch.full((1, 3, 32, 32), value / 8) for value in range(8)]
    expected = [small(x) for x in inputs]
    results: list[tuple[torch.Tensor, ...] | None] = [None] * len(inputs)

    def work(index: int) -> None:
        for _ in range(20):
            results[index] = small(inputs[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, wanted in zip(results, expected, strict=True):
        assert found is not None
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))


def test_pooled():
    x = torch.rand(2, 3, 4, 5)
    assert torch.equal(pooled(x), x.mean((2, 3)))
    assert torch.equal(pooled(x, channels_last=True), x.mean((1, 2)))
    assert torch.equal(pooled(x[0]), x[0].mean(1))
    assert torch.equal(pooled(x[0, 0]), x[0, 0])


@pytest.mark.parametrize("registers", [0, 1, 5])
def test_tokens_stand_where_their_patches_are(registers: int):
    tokens = torch.arange(2 * (registers + 16) * 3.0).reshape(2, registers + 16, 3)
    grid = on_grid(tokens)
    assert grid.shape == (2, 3, 4, 4)
    for row in range(4):
        for column in range(4):
            place = registers + 4 * row + column
            assert torch.equal(grid[:, :, row, column], tokens[:, place])


def test_refusals(small):
    with pytest.raises(BackboneError, match=r"shape \(3, 32, 32\)"):
        small(torch.rand(3, 32, 32))
    with pytest.raises(BackboneError, match=r"shape \(1, 32, 32, 3\)"):
        small(torch.rand(1, 32, 32, 3))
    with pytest.raises(BackboneError, match="no module 'nowhere'"):
        StagedNetwork(nn.Sequential(nn.Linear(1, 1)), PREPROCESSING, ["nowhere"], head="0")


# OpenVINO copies the program with a class of PyTorch's that PyTorch is about to rename.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("dynamic", [True, False], ids=["any batch", "one batch size"])
def test_openvino_takes_the_exported_network(dynamic, with_random_weights):
    openvino = pytest.importorskip("openvino")
    backbone = with_random_weights("torchvision:squeezenet1_1")[0]
    network, x = backbone.network(), random_pixels(backbone, 2)
    shapes = ({0: torch.export.Dim("batch", min=1, max=256)},) if dynamic else None
    exported = torch.export.export(network, (x,), dynamic_shapes=shapes, strict=False)
    compiled = openvino.Core().compile_model(
        openvino.convert_model(exported), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    x = x.repeat(3, 1, 1, 1) if dynamic else x
    with torch.no_grad():
        expected = network(x)
    found = list(compiled(x.numpy()).values())
    assert len(found) == len(expected) == len(backbone.stages) + 1
    for ours, theirs in zip(found, expected, strict=True):
        assert abs(torch.tensor(ours) - theirs).max() <= 1e-4 * theirs.abs().max()
