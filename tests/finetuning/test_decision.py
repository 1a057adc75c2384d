from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from headstart.finetuning.decision import INTERPOLATIONS, average_weight, averaged, decide
from headstart.finetuning.network import interpolated
from headstart.finetuning.settings import Keep
from headstart.finetuning.validation import MIN_CALIBRATION_IMAGES, ValidationResult
from headstart.heads.blend import select_weights
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
    found = decide(one, probe, tuned, ROWS, interpolate=False, average=False)
    assert found.kept
    assert found.interpolation == 1.0
    assert found.tuned.correct.sum() > found.probe.correct.sum()
    assert found.probe.loss == pytest.approx(one.evaluate(probe, ROWS).loss)
    assert found.tuned.correct.mean() == one.evaluate(tuned, ROWS).accuracy
    assert one.evaluate(found.weights, ROWS).loss < found.probe.loss
    assert 1 / 50 <= found.tuned.temperature <= 50


def test_worse_weights_are_not(searched):
    one, probe, tuned = searched
    found = decide(one, tuned, probe, ROWS, interpolate=False, average=False)
    assert not found.kept
    assert found.probe.correct.sum() >= found.tuned.correct.sum()


def test_what_was_asked_for_is_kept_and_nothing_that_diverged(searched):
    one, probe, tuned = searched
    more = {"interpolate": False, "average": True}
    assert decide(one, probe, tuned, ROWS, keep=Keep.PROBE, **more).weight == 0
    worse = decide(one, tuned, probe, ROWS, keep=Keep.TUNED, **more)
    assert worse.weight == 1
    assert worse.result.loss == worse.tuned.loss
    lost = {
        name: value * np.nan if value.is_floating_point() else value
        for name, value in tuned.items()
    }
    found = decide(one, probe, lost, ROWS, keep=Keep.TUNED, **more)
    assert found.diverged
    assert not found.kept


def test_what_is_right_as_often_is_a_tie_and_ties_go_to_the_probe(searched):
    one, probe, _ = searched
    # Sharper by far, and so likelier on what the probe gets right; no prediction changes.
    surer = {**probe, "head.weight": probe["head.weight"] * 3, "head.bias": probe["head.bias"] * 3}
    right = ROWS[decide(one, probe, probe, ROWS, interpolate=False, average=False).probe.correct]
    found = decide(one, probe, surer, right, interpolate=False, average=False)
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
    assert not decide(one, probe, probe, VALIDATION, interpolate=True, average=False).kept


def test_the_best_weights_on_the_way_are_taken(searched):
    one, probe, tuned = searched
    # Too far by the factor of 4: the fine-tuned weights are a quarter of the way.
    far = {
        name: value + 3 * (value - probe[name]) if value.is_floating_point() else value
        for name, value in tuned.items()
    }
    found = decide(one, probe, far, ROWS, interpolate=True, average=False)
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
    found = decide(one, probe, broken, ROWS, interpolate=True, average=False)
    assert not found.kept
    assert len(found.tuned.correct) == len(EXAMPLES.labels)


def calibrated(logits: np.ndarray, labels: np.ndarray) -> ValidationResult:
    return ValidationResult.of(logits.astype(np.float32), labels, calibrated=True)


@pytest.fixture
def opinions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of 200 images, and the logits of two networks that err independently."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    truth = 2.0 * np.eye(3)[labels]
    return labels, truth + rng.normal(0, 1.5, (200, 3)), truth + rng.normal(0, 1.5, (200, 3))


def test_two_that_err_independently_are_averaged(opinions):
    labels, one, other = opinions
    before, after = calibrated(one, labels), calibrated(other, labels)
    weight = average_weight(before, after, labels)
    assert 0.25 <= weight <= 0.75
    mixed = (
        (1 - weight) * one
        + weight * other
        - np.log(np.exp(one).sum(1) ** (1 - weight) * np.exp(other).sum(1) ** weight)[:, None]
    )
    loss = cross_entropy(torch.from_numpy(mixed), torch.from_numpy(labels))
    assert loss < min(before.loss, after.loss)


def test_what_is_much_worse_counts_nothing_and_what_is_much_better_counts_alone(opinions):
    labels, good, _ = opinions
    bad = np.random.default_rng(1).normal(0, 3, good.shape)
    before, after = calibrated(bad, labels), calibrated(good, labels)
    assert average_weight(after, before, labels) == 0
    assert average_weight(before, after, labels) == 1


def test_an_average_that_gains_nothing_is_not_worth_a_second_network(opinions):
    labels, one, _ = opinions
    before = calibrated(one, labels)
    surer = calibrated(1.3 * one, labels)  # and not better by far
    both = np.stack([before.log_probabilities, surer.log_probabilities])
    assert select_weights(both, labels, np.ones(200, np.float32))[1] > 0
    assert average_weight(before, surer, labels) == 0
    softer = calibrated(0.8 * one, labels)
    assert averaged(before, softer, 0.5, labels, calibrated=True).loss < before.loss
    assert average_weight(before, softer, labels) == 0
    broken = calibrated(np.full_like(one, np.nan), labels)
    assert average_weight(before, broken, labels) == 0


def test_averages_start_from_the_model_that_is_given(searched):
    one, probe, tuned = searched
    labels = EXAMPLES.labels[ROWS]
    sure = np.where(np.eye(2)[labels] > 0, 0.999, 0.001).astype(np.float32)
    found = decide(one, probe, tuned, ROWS, interpolate=False, average=True, model=sure)
    assert found.start.loss == pytest.approx(-np.log(0.999), rel=1e-3)
    assert not found.kept
    assert found.result is found.start
    found = decide(one, probe, tuned, ROWS, interpolate=False, average=True)
    assert found.start.loss == one.evaluate(probe, ROWS, calibrated=True).loss
    assert found.result.loss < found.start.loss
