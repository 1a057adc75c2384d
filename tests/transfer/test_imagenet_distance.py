"""Distance from the pre-training data, and what the network takes pictures for."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import stages_of_modules
from headstart.transfer.batch_norm_statistics import Moments, batch_moments
from headstart.transfer.imagenet_distance import imagenet_distance, nearest_classes
from headstart.transfer.random_weights import natural_noise


def stored(backbone: Backbone, *, shift: float = 0.0, spread: float = 1.0) -> dict[str, Moments]:
    """Moments that are the network's own, moved by some standard deviations."""
    found = {}
    for name, mean in backbone.tensors().items():
        if name.endswith("running_mean"):
            module = name.removesuffix(".running_mean")
            variance = backbone.tensors()[f"{module}.running_var"].astype(np.float64)
            found[module] = Moments(mean + shift * np.sqrt(variance), variance * spread**2)
    return found


def test_the_pre_training_data_themselves_are_at_no_distance(lite0: Backbone):
    found = imagenet_distance(lite0, stored(lite0), 7)
    assert found is not None
    assert found.shift == pytest.approx(0, abs=1e-6)
    assert found.images == 7
    assert [one.name for one in found.stages] == [stage.name for stage in lite0.stages]
    assert all(one.spread == pytest.approx(1) for one in found.stages)


def test_a_shift_is_in_standard_deviations(lite0: Backbone):
    found = imagenet_distance(lite0, stored(lite0, shift=-0.5, spread=2), 7)
    assert found is not None
    # The smallest variances are no larger than what keeps quotients finite.
    for one in found.stages:
        assert one.shift == pytest.approx(0.5, rel=0.1)
        assert one.spread == pytest.approx(2, rel=0.1)


@pytest.mark.slow
def test_a_gray_picture_is_further_than_noise_like_photographs(lite0: Backbone):
    side = lite0.preprocessing.crop
    noise = natural_noise(2, side, seed=0)
    flat = np.full_like(noise, 255)
    near = imagenet_distance(lite0, batch_moments(lite0, noise), 2)
    far = imagenet_distance(lite0, batch_moments(lite0, flat), 2)
    assert near is not None
    assert far is not None
    assert near.shift < far.shift
    assert far.stages[0].spread < near.stages[0].spread


def test_without_batch_normalization_it_is_unknown(lite0: Backbone):
    assert imagenet_distance(lite0, {}, 3) is None


def test_a_module_belongs_to_the_stage_that_holds_it_or_comes_next():
    modules = ["bn1", "layer1.0.bn1", "layer1.1.bn1", "transition.bn", "layer2.0.bn1", "norm"]
    assert stages_of_modules(modules, ["layer1", "layer2", "pool"]) == {
        "bn1": "layer1",
        "layer1.0.bn1": "layer1",
        "layer1.1.bn1": "layer1",
        "transition.bn": "layer2",
        "layer2.0.bn1": "layer2",
        "norm": "pool",
    }


def test_stages_without_any_are_left_out(lite0: Backbone):
    few = {name: one for name, one in stored(lite0).items() if name.startswith("blocks.2")}
    found = imagenet_distance(replace(lite0), few, 1)
    assert found is not None
    assert [one.name for one in found.stages] == ["blocks.2"]


def test_likeness_is_the_mean_of_the_softmax():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20, 6)).astype(np.float32)
    labels = np.arange(20) % 2
    names = ("ant", "bee", "cat", "dog", "elk", "fox")
    found = nearest_classes(logits, labels, ("x", "y"), names)
    p = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    best = p.mean(axis=0).argmax()
    assert found.overall[0] == (names[best], pytest.approx(p.mean(axis=0).max()))
    assert len(found.overall) == 5
    assert dict(found.by_class["y"])[names[0]] == pytest.approx(p[labels == 1, 0].mean())
    assert found.confidence == pytest.approx(p.max(axis=1).mean())
    assert found.entropy == pytest.approx(-(p * np.log(p)).sum(axis=1).mean() / np.log(6))


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_certain_and_clueless_networks_are_no_trouble(scale: float):
    logits = (scale * np.eye(6)[np.zeros(4, int)]).astype(np.float32)
    found = nearest_classes(logits, np.zeros(4, int), ("x",), tuple("abcdef"))
    assert found.entropy == pytest.approx(1.0 if scale == 0 else 0.0, abs=1e-9)
