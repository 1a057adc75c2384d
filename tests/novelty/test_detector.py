"""The combined test: its level, its weights, and the same answers after loading."""

import numpy as np
import pytest

from headstart.novelty.cross_fitting import fit_novelty
from headstart.novelty.detector import NoveltyDetector
from tests.heads.samples import blobs

NAMES = ("ant", "bee", "wasp", "fly")


def fitted(classes=4, images=120, seed=0):
    X, y = blobs(images, 12, classes, seed=seed, apart=3)
    folds = np.arange(images) % 3
    novelty = fit_novelty([X], y, folds, classes=NAMES[:classes], others={})
    assert novelty is not None
    return novelty.detector, X


def test_what_is_far_from_all_classes_is_more_novel_the_farther():
    detector, X = fitted()
    rng = np.random.default_rng(1)
    away = rng.normal(size=12).astype("f4") * np.abs(X).max()
    p = detector.p_values([X[:1] + np.float32(step) * away for step in [0]])
    far = detector.p_values([X[:1] + away])
    assert far[0] == pytest.approx(1 / 121)
    assert far[0] < p[0]


def test_an_image_between_the_classes_is_more_novel_than_their_middles():
    detector, _ = fitted(classes=3)
    distances = (np.array([[1, 1, 1], [0.2, 2, 2]], np.float32),) * 2
    between, inside = detector.scores(distances)
    assert between > inside


def test_two_classes_are_tested_by_distance_alone():
    detector, _ = fitted(classes=2)
    near = np.array([[0.5, 0.5], [0.5, 9]], np.float32)
    one, other = detector.scores((near, near))
    assert one == other


def test_a_loaded_detector_answers_the_same():
    detector, X = fitted()
    again = NoveltyDetector.load(detector.arrays())
    np.testing.assert_array_equal(again.p_values([X]), detector.p_values([X]))
    assert (again.images, again.width, again.classes) == (120, 12, 4)
    for broken in ({"temperature": np.zeros(1)}, {"combined": -again.combined.scores}):
        with pytest.raises(ValueError, match="temperature"):
            NoveltyDetector.load({**detector.arrays(), **broken})


def test_nothing_is_answered_for_nothing():
    detector, X = fitted()
    assert detector.p_values([X[:0]]).shape == (0,)
