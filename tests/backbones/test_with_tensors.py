"""The same network with other weights: in both of its forms, and never mistaken for the old one."""

import numpy as np
import pytest
import torch

from headstart.backbones.backbone import Backbone
from headstart.backbones.cut import cut
from headstart.engines.engine import EnginePlan
from headstart.engines.openvino import OpenVINOEngine
from headstart.errors import BackboneError
from headstart.features.extractor import configuration_key
from headstart.finetuning.trunk import trunk_backbone
from headstart.transfer.random_weights import randomize_weights
from headstart.types import EngineName, Precision
from tests.finetuning.networks import SIDE, small_backbone

pytestmark = pytest.mark.slow

PLAN = EnginePlan(EngineName.OPENVINO, Precision.FLOAT32)
TORCH_NAMES = ("torchvision:resnet18", "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k")


def louder(backbone: Backbone) -> dict[str, np.ndarray]:
    """The weights with a classifier of twice the strength: logits double, no stage changes."""
    changed = dict(backbone.tensors())
    for name in list(changed)[-2:]:
        changed[name] = changed[name] * 2
    return changed


def by_openvino(backbone: Backbone, pixels: np.ndarray) -> list[np.ndarray]:
    (found,) = OpenVINOEngine(backbone, PLAN).stream([pixels])
    return found


def by_pytorch(backbone: Backbone, pixels: np.ndarray) -> list[np.ndarray]:
    with torch.inference_mode():
        found = backbone.network()(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    return [one.numpy() for one in found]


def noise(backbone: Backbone) -> np.ndarray:
    side = backbone.preprocessing.crop
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


def test_lite_computes_with_the_new_weights_in_both_forms(lite0: Backbone):
    pixels = noise(lite0)
    other = lite0.with_tensors(louder(lite0))
    before, after = by_openvino(lite0, pixels), by_openvino(other, pixels)
    for old, new in zip(before[:-1], after[:-1], strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_allclose(after[-1], 2 * before[-1], rtol=1e-4, atol=1e-4)
    for mine, reference in zip(after, by_pytorch(other, pixels), strict=True):
        assert np.abs(mine - reference).max() <= 1e-4 * np.abs(reference).max()


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_networks_of_pytorch_compute_with_the_new_weights(name, with_random_weights):
    backbone, _ = with_random_weights(name)
    pixels = noise(backbone)
    other = backbone.with_tensors(louder(backbone))
    before, after = by_pytorch(backbone, pixels), by_pytorch(other, pixels)
    for old, new in zip(before[:-1], after[:-1], strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_allclose(after[-1], 2 * before[-1], rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in other.network().parameters())


@pytest.mark.parametrize("name", ["efficientnet-lite0", *TORCH_NAMES])
def test_what_is_given_comes_back_under_a_digest_of_its_own(name, with_random_weights, lite0):
    backbone = lite0 if name == "efficientnet-lite0" else with_random_weights(name)[0]
    changed = louder(backbone)
    other = backbone.with_tensors(changed)
    found = other.tensors()
    assert list(found) == list(changed)
    assert all(np.array_equal(found[key], changed[key]) for key in changed)
    assert other.weights.digest != backbone.weights.digest
    assert configuration_key(other, PLAN) != configuration_key(backbone, PLAN)
    assert (other.stages, other.labels, other.preprocessing, other.name) == (
        backbone.stages, backbone.labels, backbone.preprocessing, backbone.name
    )  # fmt: skip
    # By whatever way the same weights come, in whatever order.
    turned = dict(reversed(other.with_tensors(backbone.tensors()).tensors().items()))
    again = other.with_tensors(turned)
    assert again.weights.digest == backbone.with_tensors(backbone.tensors()).weights.digest
    assert list(again.tensors()) == list(backbone.tensors())


def test_the_source_says_that_the_weights_changed_and_says_it_once(lite0: Backbone):
    tensors = lite0.tensors()
    once = lite0.with_tensors(tensors)
    assert once.weights.source == f"{lite0.weights.source}, changed"
    assert once.with_tensors(tensors).weights.source == once.weights.source
    assert lite0.with_tensors(tensors, source="drawn").weights.source == "drawn"
    assert once.weights.license == lite0.weights.license


def test_weights_cannot_be_changed_behind_the_digest(lite0: Backbone):
    mine = {name: np.array(value) for name, value in lite0.tensors().items()}
    other = lite0.with_tensors(mine)
    mine["classifier.bias"][:] = 7
    np.testing.assert_array_equal(
        other.tensors()["classifier.bias"], lite0.tensors()["classifier.bias"]
    )
    with pytest.raises(ValueError, match="read-only"):
        other.tensors()["classifier.bias"][:] = 7


def test_counters_of_batch_normalization_change_nothing(lite0: Backbone, with_random_weights):
    resnet, _ = with_random_weights("torchvision:resnet18")
    for backbone in (lite0, resnet):
        tensors = backbone.tensors()
        counted = {**tensors, "bn1.num_batches_tracked": np.array(5)}
        assert (
            backbone.with_tensors(counted).weights.digest
            == backbone.with_tensors(tensors).weights.digest
        )


@pytest.mark.parametrize("name", ["efficientnet-lite0", *TORCH_NAMES])
@pytest.mark.parametrize("damage", ["missing", "additional", "shape"])
def test_tensors_that_do_not_fit_are_refused(name, damage, with_random_weights, lite0):
    backbone = lite0 if name == "efficientnet-lite0" else with_random_weights(name)[0]
    tensors = dict(backbone.tensors())
    last = list(tensors)[-1]
    if damage == "missing":
        del tensors[last]
    elif damage == "additional":
        tensors["zzz"] = np.zeros(3, np.float32)
    else:
        tensors[last] = tensors[last][:-1]
    with pytest.raises(BackboneError, match=f"do not fit {backbone.name}.*{last}|zzz"):
        backbone.with_tensors(tensors)


def test_a_trunk_has_no_way_to_other_weights_and_says_so():
    backbone = small_backbone()
    trunk = trunk_backbone(backbone, cut(backbone.network(), "middle", SIDE, wanted=("top",)))
    with pytest.raises(BackboneError, match="small up to middle has no weights of its own"):
        trunk.tensors()
    with pytest.raises(BackboneError, match="small up to middle takes no other weights"):
        trunk.with_tensors({})


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_networks_of_pytorch_run_with_random_weights(name, with_random_weights):
    backbone, _ = with_random_weights(name)
    other = randomize_weights(backbone, seed=0)
    assert other.weights == randomize_weights(backbone, seed=0).weights
    for output in by_pytorch(other, noise(backbone)):
        assert np.isfinite(output).all()
        assert 1e-4 < output.std() < 1e3
