import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special
from scipy.optimize import minimize_scalar

from headstart.heads.calibration import calibrate, fit_temperatures, log_softmax, probabilities
from tests.properties import examples


def fitted(logits, labels):
    return fit_temperatures(logits, labels, np.ones(len(labels)))


def guesses(images=200, classes=4, *, right=0.7, sharpness=3.0, seed=0):
    """Labels, and logits (K, N) that are right about so often and so sure."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    said = np.where(rng.random(images) < right, labels, rng.integers(0, classes, images))
    logits = rng.normal(size=(classes, images))
    logits[said, np.arange(images)] += sharpness
    return logits.astype(np.float32), labels


def smoothed_loss(inverse, logits, labels):
    """Mean cross-entropy with Platt's targets, in float64."""
    count, short = len(labels), 1 / (len(labels) + 2)
    log_p = special.log_softmax(inverse * logits.astype(np.float64), axis=0)
    return -((1 - short) * log_p[labels, np.arange(count)] + short * log_p.mean(0)).mean()


@examples(100)
@given(arrays(np.float32, (3, 5), elements=st.floats(-1e4, 1e4, width=32)), st.integers(0, 1))
def test_log_softmax_equals_scipys(logits, axis):
    expected = special.log_softmax(logits.astype(np.float64), axis=axis)
    np.testing.assert_allclose(log_softmax(logits, axis=axis), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("right", [0.3, 0.7, 0.98, 1.0])
@pytest.mark.parametrize("sharpness", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_temperature_is_the_one_that_scipy_finds(right, sharpness, classes):
    logits, labels = guesses(right=right, sharpness=sharpness, classes=classes)
    best = minimize_scalar(
        smoothed_loss, bounds=(1 / 50, 50), args=(logits, labels), method="bounded"
    )
    (temperature,) = fitted(logits[None], labels)
    # Where the loss is flat, temperatures differ and losses do not.
    assert smoothed_loss(1 / temperature, logits, labels) <= best.fun * (1 + 1e-4) + 1e-6


def test_many_sets_of_logits_are_fitted_as_each_alone():
    some = [guesses(sharpness=sharpness)[0] for sharpness in (0.1, 1, 5)]
    _, labels = guesses()
    together = fitted(np.stack(some), labels)
    alone = [fitted(logits[None], labels)[0] for logits in some]
    np.testing.assert_allclose(together, alone, rtol=5e-3)


@pytest.mark.parametrize("factor", [0.2, 0.5, 3.0, 8.0])
def test_logits_times_c_need_a_temperature_times_c(factor):
    logits, labels = guesses()
    once, scaled = fitted(np.stack([logits, np.float32(factor) * logits]), labels)
    assert scaled == pytest.approx(factor * once, rel=5e-3)


@pytest.mark.parametrize("images", [1, 2, 3, 10])
def test_a_few_images_without_an_error_do_not_ask_for_certainty(images):
    labels = np.arange(images) % 2
    logits = np.where(labels == np.array([[0], [1]]), 1, -1).astype(np.float32)
    (temperature,) = fitted(logits[None], labels)
    p = special.softmax(logits / temperature, axis=0)[labels, np.arange(images)]
    # Platt's target for the right one of two classes.
    assert p == pytest.approx(1 - 0.5 / (images + 2), abs=0.01)


def test_logits_worse_than_chance_get_the_highest_temperature():
    logits, labels = guesses(right=1.0, classes=2)
    assert fitted(logits[None], 1 - labels) == pytest.approx([50])


def test_logits_that_say_nothing_keep_the_temperature_at_1():
    assert fitted(np.zeros((1, 3, 9), np.float32), np.arange(9) % 3) == pytest.approx([1])


@examples(50)
@given(
    arrays(np.float32, (2, 3, 8), elements=st.floats(-3000, 3000, width=32)),
    arrays(np.int64, 8, elements=st.integers(0, 2)),
)
def test_whatever_the_logits_temperatures_stay_within_their_limits(logits, labels):
    temperatures = fitted(logits, labels)
    assert (temperatures >= 1 / 50 - 1e-9).all()
    assert (temperatures <= 50 + 1e-9).all()


def test_losses_are_those_of_the_scaled_logits_and_no_ranking_changes():
    logits, labels = guesses(sharpness=10)
    (temperature,) = fitted(logits[None], labels)
    log_p = special.log_softmax(logits / temperature, axis=0)
    losses, _ = calibrate(logits[None], labels, np.ones(len(labels)))
    np.testing.assert_allclose(losses[0], -log_p[labels, np.arange(len(labels))], rtol=1e-3)
    assert (log_p.argmax(0) == logits.argmax(0)).all()


def test_probabilities_are_a_softmax_and_sum_to_one():
    logits = np.array([[1.0, 2.0, 3.0], [200.0, -200.0, 0.0]], np.float32)
    assert probabilities(logits, 2.0) == pytest.approx(
        special.softmax(logits / 2, axis=1), rel=1e-5
    )
    assert probabilities(logits).sum(1) == pytest.approx([1, 1])


def test_a_weight_counts_like_copies_of_an_image():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 60)
    logits = rng.normal(0, 2, (1, 3, 60)).astype(np.float32)
    logits[0, labels, np.arange(60)] += 1
    weights = rng.integers(1, 4, 60)
    copies = np.repeat(np.arange(60), weights)
    weighted = fit_temperatures(logits, labels, weights.astype(np.float32))
    # The smoothing of targets knows the number of images, hence the tolerance.
    assert weighted == pytest.approx(fitted(logits[:, :, copies], labels[copies]), rel=0.05)
