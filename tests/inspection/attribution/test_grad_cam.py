import pytest
import torch
from captum.attr import LayerGradCam

from headstart.errors import BackboneError
from headstart.inspection.attribution.grad_cam import grad_cam, has_map, upsample
from headstart.inspection.differentiable_model import DifferentiableModel
from tests.backbones.conftest import with_random_weights  # noqa: F401 - a fixture
from tests.inspection.attribution.networks import convolutional, pictures, staged

TARGETS = torch.tensor([1, 3])


@pytest.mark.parametrize("stage", ["0", "2"])
def test_it_is_what_captum_finds(stage: str):
    model = convolutional()
    found = grad_cam(staged(model).watch, pictures(), TARGETS, [stage])
    x = pictures().requires_grad_()
    expected = LayerGradCam(model, model.get_submodule(stage)).attribute(x, TARGETS)
    assert found.stage == stage
    torch.testing.assert_close(found.values, expected[:, 0].detach())


def test_the_first_stage_that_serves_is_taken():
    network = staged(convolutional())
    found = grad_cam(network.watch, pictures(), TARGETS, ["6", "2", "0"])
    assert found.stage == "2"
    assert found.values.shape == (2, 6, 6)


def test_a_stage_without_a_map_is_refused():
    with pytest.raises(BackboneError, match=r"'6' is fully connected .* choose one of 0, 2$"):
        grad_cam(staged(convolutional()).watch, pictures(), TARGETS, ["6"])


def test_a_stage_behind_the_classifier_is_refused():
    from dataclasses import replace

    network = staged(convolutional())

    def watch(pixels):
        seen = network.watch(pixels)
        return replace(seen, logits=seen.features["0"])

    assert grad_cam(watch, pictures(), TARGETS, ["2", "0"]).stage == "0"
    with pytest.raises(BackboneError, match=r"'2' .* choose a shallower one of 0, 2"):
        grad_cam(watch, pictures(), TARGETS, ["2"])


@pytest.mark.slow
def test_a_vision_transformer_that_reads_its_class_token(with_random_weights):  # noqa: F811
    name = "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    backbone, peer = with_random_weights(name)
    network = DifferentiableModel.of(backbone).views[0].network
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = grad_cam(network.watch, x, torch.tensor([7]), network.stages[::-1])
    # The last block has 14 x 14 places, and only its class token is read.
    assert has_map(network.activations(x)["blocks.11"])
    assert found.stage == "blocks.9"
    with pytest.raises(BackboneError, match="reads only the class token"):
        grad_cam(network.watch, x, torch.tensor([7]), ["blocks.11"])

    def reshaped(tokens):  # the recipe of pytorch-grad-cam
        return tokens[:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)

    seen = {}
    block = peer.get_submodule(found.stage)
    block.register_forward_hook(lambda _m, _i, output: seen.update(tokens=output))
    mean, std = network.mean, network.std
    logit = peer((x.requires_grad_() - mean) / std)[0, 7]
    (gradient,) = torch.autograd.grad(logit, seen["tokens"])
    weights = reshaped(gradient).mean((2, 3), keepdim=True)
    expected = (weights * reshaped(seen["tokens"])).sum(1)
    torch.testing.assert_close(found.values, expected.detach(), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_channels_last_inside_a_network_does_not_matter(with_random_weights):  # noqa: F811
    backbone, _ = with_random_weights("torchvision:swin_t")
    network = DifferentiableModel.of(backbone).views[0].network
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = grad_cam(network.watch, x, torch.tensor([7]), network.stages[::-1])
    assert found.stage == network.stages[-1]
    assert found.values.shape == (1, 7, 7)
    assert found.values.std() > 0


def test_one_position_is_no_map():
    assert not has_map(torch.zeros(1, 4))
    assert not has_map(torch.zeros(1, 4, 1, 1))
    assert has_map(torch.zeros(1, 4, 2, 2))


def test_upsample_keeps_the_middle_of_each_cell():
    relevance = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    large = upsample(relevance, 6)
    assert torch.equal(large[:, 1::3, 1::3], relevance)
