from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from headstart.finetuning.decision import INTERPOLATIONS, decide
from headstart.finetuning.network import interpolated
from headstart.finetuning.validation import MIN_CALIBRATION_IMAGES, ValidationResult
from tests.finetuning.test_loop import EXAMPLES, QUICK, VALIDATION, loop, run

ROWS = np.arange(24)


@pytest.fixture(scope="module")
def searched():
    settings = replace(QUICK, epochs=10)
    one = loop(settings)
    start = one.weights()
    return one, start, run(one, settings).best


def test_better_weights_are_taken(searched):
    one, probe, tuned = searched
    found = decide(one, probe, tuned, ROWS, interpolate=False)
    assert found.kept
    assert found.interpolation == 1.0
    assert found.tuned.correct.sum() > found.probe.correct.sum()
    assert found.probe.loss == pytest.approx(one.evaluate(probe, ROWS).loss)
    assert found.tuned.correct.mean() == one.evaluate(tuned, ROWS).accuracy
    assert one.evaluate(found.weights, ROWS).loss < found.probe.loss
    assert 1 / 50 <= found.tuned.temperature <= 50


def test_worse_weights_are_not(searched):
    one, probe, tuned = searched
    found = decide(one, tuned, probe, ROWS, interpolate=False)
    assert not found.kept
    assert found.probe.correct.sum() >= found.tuned.correct.sum()


def test_what_is_right_as_often_is_a_tie_and_ties_go_to_the_probe(searched):
    one, probe, _ = searched
    # Sharper by far, and so likelier on what the probe gets right; no prediction changes.
    surer = {**probe, "head.weight": probe["head.weight"] * 3, "head.bias": probe["head.bias"] * 3}
    right = ROWS[decide(one, probe, probe, ROWS, interpolate=False).probe.correct]
    found = decide(one, probe, surer, right, interpolate=False)
    assert found.tuned.loss < found.probe.loss
    assert not found.kept


@pytest.mark.parametrize(
    ("images", "fitted"), [(MIN_CALIBRATION_IMAGES - 1, False), (MIN_CALIBRATION_IMAGES, True)]
)
def test_a_temperature_is_fitted_to_no_handful_of_images(images: int, fitted: bool):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, images)
    logits = rng.normal(0, 5, (images, 3)).astype(np.float32)
    found = ValidationResult.of(logits, labels)
    assert (found.temperature != 1) is fitted
    expected = cross_entropy(
        torch.from_numpy(logits).double() / found.temperature,
        torch.from_numpy(labels),
        reduction="none",
    )
    np.testing.assert_allclose(found.losses, expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found.correct, logits.argmax(1) == labels)
    own = found.probabilities[np.arange(images), labels]
    np.testing.assert_allclose(own, np.exp(-found.losses), rtol=1e-3, atol=1e-6)
    logits[3, 1] = np.inf
    assert ValidationResult.of(logits, labels).probabilities is None


def test_the_probe_itself_is_no_better_than_the_probe(searched):
    one, probe, _ = searched
    assert not decide(one, probe, probe, VALIDATION, interpolate=True).kept


def test_the_best_weights_on_the_way_are_taken(searched):
    one, probe, tuned = searched
    # Too far by the factor of 4: the fine-tuned weights are a quarter of the way.
    far = {
        name: value + 3 * (value - probe[name]) if value.is_floating_point() else value
        for name, value in tuned.items()
    }
    found = decide(one, probe, far, ROWS, interpolate=True)
    losses = [
        one.evaluate(interpolated(probe, far, position), ROWS).loss for position in INTERPOLATIONS
    ]
    assert found.interpolation == INTERPOLATIONS[int(np.argmin(losses))]
    expected = interpolated(probe, far, found.interpolation)
    assert all(torch.equal(found.weights[name], value) for name, value in expected.items())


def test_numbers_that_are_not_finite_lose(searched):
    one, probe, tuned = searched
    broken = {name: value * float("nan") if value.is_floating_point() else value
              for name, value in tuned.items()}  # fmt: skip
    found = decide(one, probe, broken, ROWS, interpolate=True)
    assert not found.kept
    assert len(found.tuned.correct) == len(EXAMPLES.labels)
