"""Calibration on held-out images: the level holds, few images say less, the estimate is honest."""

import numpy as np
import pytest

from headstart.heads.calibration import probabilities
from headstart.novelty import cross_fitting
from headstart.novelty.cross_fitting import MIN_IMAGES, fit_novelty
from tests.heads.samples import blobs


def split(images, width, classes, seed, **options):
    """Training features with folds, and as many new ones of the same kind."""
    X, y = blobs(2 * images, width, classes, seed=seed, **options)
    return X[:images], y[:images], np.arange(images) % 3, X[images:], y[images:]


def names(classes):
    return [f"class {label}" for label in range(classes)]


def test_new_images_of_known_classes_are_called_unknown_at_the_rate():
    shares = []
    for seed in range(20):
        X, y, folds, new, _ = split(300, 20, 5, seed)
        novelty = fit_novelty([X], y, folds, classes=names(5), others={})
        shares.append((novelty.detector.p_values([new]) <= 0.05).mean())
    assert 0.03 <= np.mean(shares) <= 0.07


def test_noise_with_more_features_than_images_is_calibrated_too():
    shares = []
    for seed in range(10):
        X, y, folds, new, _ = split(60, 300, 2, seed)
        novelty = fit_novelty([X], y, folds, classes=names(2), others={})
        shares.append((novelty.detector.p_values([new]) <= 0.1).mean())
    assert 0.03 <= np.mean(shares) <= 0.15


def test_the_estimate_for_left_out_classes_is_what_a_class_never_seen_shows():
    X, y = blobs(900, 16, 6, apart=2)
    folds = np.arange(900) % 3
    novelty = fit_novelty([X], y, folds, classes=names(6), others={})
    truth = []
    for label in range(6):
        rest = y != label
        labels = y[rest] - (y[rest] > label)
        without = fit_novelty([X[rest]], labels, folds[rest], classes=names(5), others={})
        truth.append((without.detector.p_values([X[~rest]]) <= 0.05).mean())
    assert novelty.estimate.left_out.caught == pytest.approx(np.mean(truth), abs=0.1)
    assert list(novelty.estimate.by_class) == names(6)
    assert novelty.estimate.images == 900


def test_other_images_are_measured():
    X, y, folds, *_ = split(90, 10, 3, 0)
    others = {"far": [-5 * X + 40], "same": [X]}
    estimate = fit_novelty([X], y, folds, classes=names(3), others=others).estimate
    assert estimate.others["far"].auroc > 0.9
    assert estimate.others["same"].auroc == pytest.approx(0.5, abs=0.15)


def test_few_images_or_no_folds_give_none():
    X, y = blobs(MIN_IMAGES, 8, 2)
    folds = np.arange(MIN_IMAGES) % 3
    assert fit_novelty([X], y, None, classes=names(2), others={}) is None
    assert fit_novelty([X[:-1]], y[:-1], folds[:-1], classes=names(2), others={}) is None
    never = np.where(np.arange(MIN_IMAGES) < 5, 0, -1)
    assert fit_novelty([X], y, never, classes=names(2), others={}) is None
    just = fit_novelty([X], y, folds, classes=names(2), others={})
    assert just.estimate.images == MIN_IMAGES
    assert just.estimate.left_out is None


def test_a_class_of_one_image_is_no_obstacle():
    X, y = blobs(60, 8, 3)
    y[y == 2] = 0
    y[0] = 2
    novelty = fit_novelty([X], y, np.arange(60) % 3, classes=names(3), others={})
    assert np.isfinite(novelty.detector.p_values([X])).all()


def test_images_that_are_never_held_out_only_fit():
    X, y, _, *_ = split(120, 8, 3, 0)
    folds = np.where(np.arange(120) % 4 == 0, 0, -1)
    novelty = fit_novelty([X], y, folds, classes=names(3), others={})
    assert novelty.detector.images == 30


def test_many_images_are_sampled_with_every_class(monkeypatch):
    monkeypatch.setattr(cross_fitting, "_MAX_IMAGES", 100)
    monkeypatch.setattr(cross_fitting, "_MAX_HELD_OUT", 50)
    X, y = blobs(1_000, 8, 3)
    y[y == 2] = 1
    y[-1] = 2  # a class of a single image
    novelty = fit_novelty([X], y, np.arange(1_000) % 3, classes=names(3), others={})
    assert novelty.detector.classes == 3
    assert 40 <= novelty.detector.images <= 52


def test_the_same_images_give_the_same_bytes():
    X, y, folds, *_ = split(300, 300, 3, 0)
    one, other = (fit_novelty([X], y, folds, classes=names(3), others={}) for _ in range(2))
    for name, array in one.detector.arrays().items():
        np.testing.assert_array_equal(array, other.detector.arrays()[name])
    assert one.estimate == other.estimate


def test_discriminant_probabilities_are_calibrated():
    X, y, folds, new, truth = split(400, 10, 4, 0, apart=0.7)
    detector = fit_novelty([X], y, folds, classes=names(4), others={}).detector
    from headstart.novelty.class_gaussians import unit_blocks
    from headstart.novelty.detector import _logits, class_distances

    first, _ = class_distances(detector.gaussians, unit_blocks([new]))
    p = probabilities(_logits(first, detector.width), detector.temperature)
    assert p.max(1).mean() == pytest.approx((p.argmax(1) == truth).mean(), abs=0.07)


def test_images_that_were_held_out_keep_their_p_values():
    X, y, folds, new, _ = split(300, 20, 5, 0)
    folds = np.where(np.arange(300) < 200, folds, -1)
    novelty = fit_novelty([X], y, folds, classes=names(5), others={})
    held_out = novelty.held_out
    assert held_out.shape == (300,)
    assert np.isnan(held_out[200:]).all()
    # They are ranks among themselves; new images of the classes are as novel as they are.
    np.testing.assert_allclose(np.sort(held_out[:200]), (1 + np.arange(1, 201)) / 201, atol=0.01)
    assert novelty.detector.p_values([new]).mean() == pytest.approx(0.5, abs=0.06)


def test_a_class_without_an_image_is_left_alone():
    X, y, folds, new, _ = split(200, 10, 4, 0)
    y = np.array([0, 2, 3, 5])[y]
    novelty = fit_novelty([X], y, folds, classes=names(7), others={})
    assert novelty.detector.classes == 7
    assert list(novelty.estimate.by_class) == [f"class {k}" for k in (0, 2, 3, 5)]
    assert (novelty.detector.p_values([new]) <= 0.05).mean() < 0.15
