"""Batches against the calibration images of a model."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.models.batch_assessment import BatchAssessment, assess
from tests.models.trained_models import calibration, make_model


def batch(images: int, *, doubt: float, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(3, doubt), images).astype(np.float32)


MODEL = make_model(calibration=calibration(300))


def test_images_like_the_calibration_images_are_no_drift():
    found = assess(MODEL, batch(200, doubt=0.3), rows=np.arange(200))
    assert not found.drift.significant
    right = MODEL.calibration.correct.mean()
    assert found.accuracy.interval.low < right < found.accuracy.interval.high
    assert found.accuracy.images == 200


def test_doubtful_predictions_are_drift_and_lower_the_estimate():
    found = assess(MODEL, batch(50, doubt=5), rows=np.arange(50))
    assert found.drift.significant
    assert found.drift.shift > 0.75
    assert found.accuracy.value < MODEL.calibration.correct.mean() - 0.2


def test_novel_images_are_drift_whatever_the_predictions():
    p, rows = batch(50, doubt=0.3), np.arange(50)
    usual = assess(MODEL, p, rows=rows, novelty=np.linspace(0.01, 1, 50))
    novel = assess(MODEL, p, rows=rows, novelty=np.full(50, 0.001))
    assert not usual.drift.significant
    assert novel.drift.significant
    assert novel.drift.shift > 0.99
    assert novel.accuracy.value == usual.accuracy.value
    assert novel.accuracy.interval.low == 0 < usual.accuracy.interval.low


def test_only_the_rows_asked_for_count():
    p = np.concatenate([batch(30, doubt=5), batch(30, doubt=0.3)])
    assert assess(MODEL, p, rows=np.arange(30)) == assess(MODEL, p[:30], rows=np.arange(30))


@pytest.mark.parametrize("images", [0, 1, 19])
def test_few_images_tell_nothing(images):
    assert assess(MODEL, batch(images, doubt=5), rows=np.arange(images)) == BatchAssessment()


def test_a_model_without_calibration_images_tells_nothing():
    model = replace(MODEL, calibration=None)
    assert assess(model, batch(50, doubt=5), rows=np.arange(50)) == BatchAssessment()


def test_images_of_one_series_are_no_proof_of_drift():
    p, rows = batch(60, doubt=5), np.arange(10, 60)
    assert assess(MODEL, p, rows=rows, groups=np.arange(60)).drift.significant
    assert not assess(MODEL, p, rows=rows, groups=np.zeros(60, int)).drift.significant
