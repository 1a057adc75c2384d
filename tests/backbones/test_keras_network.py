"""A Keras model of few layers computes the same as PyTorch modules, watched, copied and cut."""

import copy
import threading
import warnings

import numpy as np
import openvino
import pytest
import torch
from torch import nn

from headstart.backbones.cut import PIXELS, cut, keeps_moments
from headstart.backbones.keras_network import KerasNetwork
from headstart.backbones.stages import LOGITS
from headstart.engines.pytorch import FromBytes
from headstart.errors import BackboneError
from tests.backbones.keras_models import (
    BGR,
    PLAIN,
    keras,
    module_of,
    network_of,
    predict,
    randomize,
    tiny_model,
)

pytestmark = pytest.mark.slow


def pixels(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand((count, 3, 32, 32), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def network(model) -> KerasNetwork:
    return network_of(model, BGR)


def by_keras(model, shown: torch.Tensor) -> torch.Tensor:
    """What Keras computes from pixels that its own preprocessing turned to blue, green, red."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PLAIN.mean, PLAIN.std))
    prepared = ((shown - mean) / std).permute(0, 2, 3, 1).numpy()[..., ::-1]
    return torch.tensor(predict(model, prepared.copy()))


def test_equals_keras(model, network):
    torch.testing.assert_close(
        network.logits(pixels()), by_keras(model, pixels()), rtol=1e-5, atol=1e-5
    )


def test_features_are_means_over_keras_layers(model, network):
    assert network.stages == ("wide", "add", "last")
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("wide", "last")])
    prepared = ((pixels() - network.mean) / network.std).permute(0, 2, 3, 1).numpy()[..., ::-1]
    wide, last = predict(inner, prepared.copy())
    features = network(pixels())
    np.testing.assert_allclose(features[0], wide.mean((1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features[2], last.mean((1, 2)), rtol=1e-4, atol=1e-5)
    maps = network.activations(pixels())
    np.testing.assert_allclose(maps["wide"].permute(0, 2, 3, 1), wide, rtol=1e-4, atol=1e-5)


def test_what_is_watched_is_joined_for_gradients(network):
    shown = pixels().requires_grad_()
    seen = network.watch(shown)
    for stage in network.stages:
        (gradient,) = torch.autograd.grad(
            seen.logits[:, 3].sum(), seen.maps[stage], retain_graph=True
        )
        assert gradient.abs().max() > 0
    (gradient,) = torch.autograd.grad(seen.logits[:, 3].sum(), shown)
    assert gradient.abs().max() > 0


def test_dropout_and_statistics_rest_even_in_training(network):
    before = network.logits(pixels())
    assert torch.equal(network.train().logits(pixels()), before)
    assert torch.equal(network.model.train().eval()(pixels()), network.model(pixels()))


@pytest.mark.parametrize("stage", ["wide", "add", "last"])
def test_halves_are_the_whole(stage, network):
    halves = cut(network, stage, 32, wanted=[*network.stages, LOGITS])
    whole = network(pixels())
    *early, flat = halves.trunk(pixels())
    parts = (*early, *halves.tail(flat.unflatten(1, halves.shape)))
    assert halves.trunk.stages + halves.tail.stages == (*network.stages, LOGITS)
    for part, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-6)


def test_all_of_the_network_is_the_tail(network):
    halves = cut(network, PIXELS, 32, wanted=["add", LOGITS])
    _, add, _, logits = network(pixels())
    parts = halves.tail((pixels() - network.mean) / network.std)
    assert halves.trunk is None
    for part, expected in zip(parts, (add, logits), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-6)


def test_the_tail_has_the_networks_weights_under_the_same_names(network):
    whole = network.model.state_dict()
    tail = cut(network, "add", 32, wanted=["last", LOGITS]).tail.graph.state_dict()
    assert list(tail) == ["last.kernel", "last.bias", "logits.kernel", "logits.bias"]
    assert all(torch.equal(whole[name], tensor) for name, tensor in tail.items())
    # What nothing wanted needs is no part of it.
    shorter = cut(network, "add", 32, wanted=["last"]).tail.graph.state_dict()
    assert list(shorter) == ["last.kernel", "last.bias"]
    assert list(cut(network, PIXELS, 32, wanted=[LOGITS]).tail.graph.state_dict()) == list(whole)


def test_a_trained_tail_put_back_changes_the_whole(model):
    network = network_of(model)
    halves = cut(network, "wide", 32, wanted=[LOGITS])
    tail = halves.tail.requires_grad_(True)
    optimizer = torch.optim.SGD(tail.parameters(), lr=0.1)
    before = network.logits(pixels())
    activation = halves.trunk(pixels())[-1].unflatten(1, halves.shape)
    tail(activation)[-1].square().sum().backward()
    assert all(parameter.grad is not None for parameter in tail.parameters())
    optimizer.step()
    after = tail(activation)[-1].detach()
    assert not torch.allclose(after, before, rtol=1e-3)
    assert torch.equal(network.logits(pixels()), before)  # the tail is a copy
    state = {name: value.detach() for name, value in tail.graph.state_dict().items()}
    network.model.load_state_dict(state, strict=False)
    torch.testing.assert_close(network.logits(pixels()), after, rtol=1e-5, atol=1e-6)


def test_moments_follow_in_training_as_those_of_pytorch_do(model):
    network = network_of(model)
    tail = cut(network, PIXELS, 32, wanted=["wide"]).tail
    layer = tail.graph.first_bn
    assert keeps_moments(layer)
    assert [keeps_moments(one) for one in tail.graph.children()].count(True) == 1
    shown = pixels(8)
    into = tail.graph.part(None, ["first"])(shown)[0].permute(0, 3, 1, 2)
    peer = nn.BatchNorm2d(8, eps=1e-3)
    peer.weight.data, peer.bias.data = layer.gamma.clone(), layer.beta.clone()
    peer.running_mean, peer.running_var = layer.moving_mean.clone(), layer.moving_variance.clone()
    expected = peer(into).detach()
    tail.train()
    found = tail.graph.part(None, ["first_bn"])(shown)[0].permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.moving_mean, peer.running_mean, rtol=1e-4, atol=1e-5)
    # PyTorch's running variance is that of a sample, n - 1; Keras's that of the batch.
    old, n = network.model.first_bn.moving_variance, into[:, 0].numel()
    sample = 10 * (peer.running_var - 0.9 * old)
    torch.testing.assert_close(
        layer.moving_variance, 0.9 * old + 0.1 * sample * (n - 1) / n, rtol=1e-4, atol=1e-5
    )
    moments = layer.moving_mean.clone()
    layer.eval()
    tail(shown)
    assert torch.equal(layer.moving_mean, moments)


def test_unknown_stage(network):
    with pytest.raises(BackboneError, match=r"cannot be cut at 'first'.*wide, add, last"):
        cut(network, "first", 32, wanted=[LOGITS])


def test_no_cut_between_two_paths(network):
    with pytest.raises(BackboneError, match="cannot be cut after left"):
        network.model.part("left", ["logits"])


def test_copies_are_independent(network):
    other = copy.deepcopy(network)
    before = network.logits(pixels())
    with torch.no_grad():
        other.model.last.kernel.zero_()
    assert torch.equal(network.logits(pixels()), before)
    assert not torch.allclose(other.logits(pixels()), before)


def test_two_threads_do_not_see_each_other(network):
    shown = [pixels(seed=seed) for seed in range(4)]
    expected = [network.logits(one) for one in shown]
    found: list[torch.Tensor | None] = [None] * 4

    def run(index: int) -> None:
        for _ in range(5):
            found[index] = network.logits(shown[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_first_layer_is_in_the_order_red_green_blue(network):
    path, layer = network.first_layer()
    assert path == "first"
    assert isinstance(layer, nn.Conv2d)
    assert (layer.in_channels, layer.groups) == (3, 1)
    normalized = (pixels() - network.mean) / network.std
    same = nn.functional.pad(normalized, (0, 1, 0, 1))  # TensorFlow's way of padding by "same"
    kernel = network.model.first
    ours = nn.functional.conv2d(same, layer.weight, kernel.bias, stride=2)
    keras_own = network.model.part(None, ["first"])(normalized)[0].permute(0, 3, 1, 2)
    torch.testing.assert_close(ours, keras_own, rtol=1e-4, atol=1e-5)


def test_openvino_computes_the_same(network):
    wrapped = FromBytes(copy.deepcopy(network))
    shown = (pixels(4) * 255).byte().permute(0, 2, 3, 1).contiguous()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both libraries warn of their own future
        exported = torch.export.export(wrapped, (shown,), strict=False)
        graph = openvino.convert_model(exported)
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([shown.numpy()])
    for index, expected in enumerate(wrapped(shown)):
        np.testing.assert_allclose(results[index], expected, rtol=1e-3, atol=1e-4)


def test_layers_within_layers_keep_their_variables_apart():
    inner = keras.Sequential(
        [keras.layers.Conv2D(4, 1), keras.layers.Conv2D(5, 1)], name="two_in_one"
    )
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(inner(inputs)))
    model = randomize(keras.Model(inputs, outputs))
    module = module_of(model)
    assert [key for key in module.state_dict() if key.startswith("two")] == [
        "two_in_one.kernel_0",
        "two_in_one.bias_1",
        "two_in_one.kernel_2",
        "two_in_one.bias_3",
    ]
    shown = torch.rand(2, 3, 8, 8)
    theirs = predict(model, shown.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(module(shown), theirs, rtol=1e-4, atol=1e-5)
