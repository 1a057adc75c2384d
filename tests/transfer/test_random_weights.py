"""A network as if it had never been trained."""

import numpy as np
import pytest

from headstart.backbones.backbone import Backbone
from headstart.engines.engine import EnginePlan
from headstart.engines.openvino import OpenVINOEngine
from headstart.system.prefetch import stack_batches
from headstart.transfer.batch_norm_statistics import batch_moments
from headstart.transfer.random_weights import natural_noise, random_tensors, randomize_weights
from headstart.types import EngineName, Precision

pytestmark = pytest.mark.slow


def test_weights_are_drawn_as_he_et_al_do_and_the_seed_decides(lite0: Backbone):
    old = lite0.tensors()
    new = random_tensors(old, seed=0)
    assert list(new) == list(old)
    for name, array in new.items():
        assert array.shape == old[name].shape
        assert array.dtype == old[name].dtype
        if array.ndim > 1 and array.size > 1000:
            fan_in = np.prod(array.shape[1:])
            assert abs(array.std() / np.sqrt(2 / fan_in) - 1) < 0.1
            assert abs(array.mean()) < 5 * array.std() / np.sqrt(array.size)
        elif array.ndim == 1:
            expected = 1 if name.endswith(("weight", "running_var")) else 0
            assert (array == expected).all()
    again, other = random_tensors(old, seed=0), random_tensors(old, seed=1)
    assert all(np.array_equal(again[name], new[name]) for name in new)
    assert not np.array_equal(other["conv_stem.weight"], new["conv_stem.weight"])


def test_what_is_no_weight_keeps_its_mean_and_spread_and_integers_stay():
    table = np.random.default_rng(0).normal(0.5, 0.02, (1, 50, 40)).astype(np.float32)
    steps = np.arange(6).reshape(2, 3)
    new = random_tensors({"pos_embed": table, "relative_position_index": steps}, seed=0)
    assert not np.array_equal(new["pos_embed"], table)
    np.testing.assert_allclose(new["pos_embed"].mean(), 0.5, atol=0.005)
    np.testing.assert_allclose(new["pos_embed"].std(), 0.02, rtol=0.1)
    np.testing.assert_array_equal(new["relative_position_index"], steps)


def test_signals_neither_vanish_nor_explode(lite0: Backbone):
    backbone = randomize_weights(lite0, seed=0)
    pixels = natural_noise(8, lite0.preprocessing.crop, seed=9)
    for found in batch_moments(backbone, pixels).values():
        assert np.abs(found.mean).mean() < 50
    stored = backbone.tensors()
    shifts = [
        np.abs(found.mean - stored[f"{name}.running_mean"]) / np.sqrt(stored[f"{name}.running_var"])
        for name, found in batch_moments(backbone, pixels).items()
    ]
    assert max(float(shift.mean()) for shift in shifts) < 1
    plan = EnginePlan(EngineName.OPENVINO, Precision.FLOAT32)
    engine = OpenVINOEngine(backbone, plan)
    batches = engine.stream(stack_batches(iter(pixels), engine.batch))
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    assert all(1e-3 < output.std(axis=0).mean() < 10 for output in outputs)


def test_one_seed_is_one_network(lite0: Backbone):
    first, second = randomize_weights(lite0, seed=1), randomize_weights(lite0, seed=1)
    assert first.weights == second.weights
    assert first.weights.source == "random, seed 1"
    assert first.weights.digest != lite0.weights.digest


def test_noise_has_the_spectrum_of_photographs():
    pixels = natural_noise(16, 64, seed=0)
    assert pixels.shape == (16, 64, 64, 3)
    assert pixels.dtype == np.uint8
    power = np.abs(np.fft.fft2(pixels.astype(float).mean(axis=3) - 127.5)) ** 2
    rows = power.mean(axis=(0))[0, 1:20]
    slope = np.polyfit(np.log(np.arange(1, 20)), np.log(rows), 1)[0]
    assert -2.6 < slope < -1.5  # power falls as 1 / f^2
