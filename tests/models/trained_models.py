"""Made-up models, for the tests of what is written and shown of them."""

from dataclasses import replace

import numpy as np

from headstart.evaluation.conformal import CalibrationSet
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.models.trained_model import AccuracyEstimate, BackboneOrigin, Model, TrainingData
from headstart.novelty.cross_fitting import Novelty, fit_novelty
from headstart.types import EstimateMethod
from tests.heads.samples import blobs

UNKNOWN = AccuracyEstimate.unknown()


def calibration(images: int = 30, classes: int = 3, *, seed: int = 0) -> CalibrationSet:
    """Predictions for calibration images, about four in five of them right."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), images).astype(np.float32)
    labels = np.array([rng.choice(classes, p=row / row.sum()) for row in p.astype(float)])
    return CalibrationSet.of(p, labels, novelty=np.linspace(0.01, 1, images))


def estimate(
    correct: int, images: int, method: EstimateMethod = EstimateMethod.CROSS_VALIDATION
) -> AccuracyEstimate:
    return AccuracyEstimate.of(np.arange(images) < correct, method)


def make_model(kind: str = "logistic", *, seed: int = 0, **changed) -> Model:
    """A model of three classes on two stages of three and five features."""
    X, y = blobs(30, 8, 3, seed=seed)
    family = FAMILIES[kind]
    setting = family.settings[family.default]
    model = Model(
        classes=("ant", "bee", "wäsp"),
        head=family.fit(LabeledFeatures(X, y, 3), np.ones(30, np.float32), setting),
        temperature=0.75,
        setting=setting,
        balanced=False,
        seed=seed,
        origin=BackboneOrigin(
            backbone="tiny",
            weights="0123456789abcdef" * 2,
            source="PyPI: made-up",
            license="MIT",
            stages=("fine", "coarse"),
            engine="openvino",
            precision="f32",
        ),
        data=TrainingData(
            name="insects",
            license="CC0-1.0",
            images=(10, 10, 10),
            duplicates=2,
            conflicts=1,
            skipped=3,
            digests=np.random.default_rng(seed).integers(0, 256, (30, 16)).astype(np.uint8),
        ),
        accuracy=estimate(27, 30),
        accuracy_by_stage={"fine": estimate(20, 30), "coarse": estimate(25, 30)},
        calibration=calibration(seed=seed),
    )
    return replace(model, **changed)


def make_novelty(seed: int = 0) -> Novelty:
    """A detector for the classes and stages of `make_model`."""
    X, y = blobs(60, 8, 3, seed=seed, apart=3)
    novelty = fit_novelty(
        [X[:, :3], X[:, 3:]],
        y,
        np.arange(60) % 3,
        classes=("ant", "bee", "wäsp"),
        others={"photos": [-X[:10, :3], -X[:10, 3:]]},
    )
    assert novelty is not None
    return novelty


def features(images: int = 20, seed: int = 1) -> dict[str, np.ndarray]:
    X, _ = blobs(images, 8, 3, seed=seed)
    return {"fine": X[:, :3], "coarse": X[:, 3:]}
