"""Fits against curves whose parameters are known."""

import math

import numpy as np
import pytest

from headstart.transfer.power_law import PowerLaw, fit_power_laws

SIZES = np.array([100.0, 200.0, 400.0, 800.0])
CURVES = [
    PowerLaw(0.0, 0.8, 0.3),
    PowerLaw(0.05, 1.0, 0.5),
    PowerLaw(0.02, 3.0, 0.7),
    PowerLaw(0.1, 5.0, 1.0),
]


@pytest.mark.parametrize("true", CURVES)
def test_exact_errors_give_back_their_curve(true: PowerLaw):
    errors = np.array([true.error(size) for size in SIZES])
    (found,) = fit_power_laws(SIZES, errors[None], np.full(4, 1e-4))
    for size in (50, 300, 1600):
        assert found.error(size) == pytest.approx(true.error(size), rel=0.02)
    assert found.rate == pytest.approx(true.rate, abs=0.05)
    assert found.floor == pytest.approx(true.floor, abs=0.01)


def test_the_bounds_hold_whatever_the_errors():
    rng = np.random.default_rng(0)
    for _ in range(10):
        (found,) = fit_power_laws(SIZES, rng.random((1, 4)), np.full(4, 0.05))
        assert 0 <= found.floor <= 1
        assert found.scale >= 0
        assert found.error(1000) <= found.error(100) + 1e-12


def test_three_points_leave_no_floor():
    true = PowerLaw(0.0, 2.0, 0.5)
    errors = np.array([true.error(size) for size in SIZES[:3]])
    (found,) = fit_power_laws(SIZES[:3], errors[None], np.full(3, 0.01))
    assert found.floor == 0
    assert found.rate == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("error", [0.011, 0.1, 0.4, 0.9])
def test_three_equal_points_promise_nothing(error: float):
    (found,) = fit_power_laws(SIZES[:3], np.full((1, 3), error), np.full(3, 0.01))
    at = SIZES[2]
    assert found.error(at) == pytest.approx(error, rel=0.01)
    assert found.images_for(found.error(at) - 0.01) > 101 * at  # more than is a number to plan with


def test_a_number_of_images_beyond_floats_is_infinite():
    assert PowerLaw(0.0, 1.0, 0.01).images_for(1e-9) == math.inf


def test_images_for_an_error_is_the_inverse():
    curve = PowerLaw(0.05, 1.0, 0.5)
    assert curve.images_for(curve.error(640)) == pytest.approx(640)
    assert curve.images_for(0.05) == math.inf
    assert PowerLaw(0.1, 0.0, 0.5).images_for(0.2) == math.inf
