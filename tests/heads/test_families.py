"""What holds for every kind of head."""

import numpy as np
import pytest
from scipy.special import softmax

from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from tests.heads.samples import blobs, leave_out

KINDS = list(FAMILIES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("blocks", [None, [5, 3]])
@pytest.mark.parametrize("balanced", [False, True])
def test_held_out_is_fitting_on_the_fold_and_asking_for_the_rest(kind, classes, blocks, balanced):
    family = FAMILIES[kind]
    X, y = blobs(48, 8, classes)
    weights = leave_out(48, 3)
    if balanced:
        weights = weights * (1 + y).astype(np.float32)
    scores = family.held_out(LabeledFeatures(X, y, classes, blocks), weights)
    assert len(scores) == 3
    for row, score in zip(weights, scores, strict=True):
        rest = row == 0
        assert score.shape == (len(family.settings), classes, rest.sum())
        for logits, setting in zip(score, family.settings, strict=True):
            # The fold's own rows alone: nothing of the others may have leaked in.
            own = LabeledFeatures(X[~rest], y[~rest], classes, blocks)
            head = family.fit(own, row[~rest], setting)
            # The search stops a little earlier than the fit that is kept.
            np.testing.assert_allclose(
                softmax(logits, axis=0), softmax(head.logits(X[rest]), axis=1).T, atol=0.03
            )


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_the_rows_left_out_change_nothing(kind):
    X, y = blobs(48, 8, 4)
    weights = leave_out(48, 3)[:1]
    other = np.where(weights[0] == 0, (y + 1) % 4, y)
    first, second = (
        FAMILIES[kind].held_out(LabeledFeatures(X, labels, 4), weights)[0] for labels in (y, other)
    )
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_missing_in_a_fold_is_never_predicted_there(kind, classes):
    X, y = blobs(30, 8, classes, apart=0.3)
    weights = ((np.arange(30) % 3 > 0) & (y > 0)).astype(np.float32)[None]
    (score,) = FAMILIES[kind].held_out(LabeledFeatures(X, y, classes), weights)
    assert np.isfinite(score).all()
    assert (score[:, :, y[weights[0] == 0] > 0].argmax(1) > 0).all()


def test_one_image_a_class_does_not_lose_to_a_class_without_any():
    # A missing class in the middle of all would be nearer than any noisy single image.
    X, y = blobs(60, 50, 5)
    weights = np.zeros((1, 60), np.float32)
    weights[0, [np.flatnonzero(y == label)[0] for label in range(4)]] = 1
    (score,) = FAMILIES["centroid"].held_out(LabeledFeatures(X, y, 5), weights)
    known = y[weights[0] == 0] < 4
    assert (score[0].argmax(0) == y[weights[0] == 0])[known].mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_a_class_is_enough_to_fit(kind):
    family = FAMILIES[kind]
    X, y = blobs(3, 8, 3, apart=3)
    for setting in family.settings:
        logits = family.fit(LabeledFeatures(X, y, 3), np.ones(3, np.float32), setting).logits(X)
        assert (logits.argmax(1) == y).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_of_one_image_gives_finite_logits(kind):
    # Two images of one class and one of another, in two folds: one head sees a single image.
    X, y = blobs(3, 8, 2)
    weights = np.eye(3, dtype=np.float32)[:1]
    (score,) = FAMILIES[kind].held_out(LabeledFeatures(X, y, 2), weights)
    assert np.isfinite(score).all()
    assert (score.argmax(1) == y[0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_images_with_different_labels_are_survived(kind):
    X = np.ones((6, 4), np.float32)
    y = np.arange(6) % 2
    for score in FAMILIES[kind].held_out(LabeledFeatures(X, y, 2), leave_out(6, 3)):
        assert np.isfinite(score).all()


@pytest.mark.parametrize("kind", ["logistic", "centroid"])
def test_weights_move_the_answer_towards_the_heavier_class(kind):
    X, y = blobs(60, 2, 2, apart=0.2)
    weights = np.where(y == 1, 20, 1).astype(np.float32)
    family = FAMILIES[kind]
    setting = family.settings[family.default]
    even, heavy = (
        family.fit(LabeledFeatures(X, y, 2), w, setting).logits(X)
        for w in (np.ones_like(weights), weights)
    )
    # Centroids know no prior: there the weights only move what is standardized.
    shift = (heavy[:, 1] - heavy[:, 0]).mean() - (even[:, 1] - even[:, 0]).mean()
    assert shift > 0.5 if kind == "logistic" else np.isfinite(shift)


# Discriminants are ordered by their shrinkage, which says little of how sure they are.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "discriminant"])
def test_settings_come_most_cautious_first(kind):
    X, y = blobs(60, 6, 3, apart=0.5)
    family = FAMILIES[kind]
    sure = [
        softmax(
            family.fit(LabeledFeatures(X, y, 3), np.ones(60, np.float32), setting).logits(X), axis=1
        )
        .max(1)
        .mean()
        for setting in family.settings
    ]
    assert sure == sorted(sure)
    assert 0 <= family.default < len(family.settings)
