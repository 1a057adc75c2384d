"""Networks of models that average heads on two views of each image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone
from headstart.datasets import open_dataset
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.heads.blend import BlendedHead
from headstart.heads.families import FAMILIES
from headstart.heads.head import LabeledFeatures
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.models.trained_model import Member, TrainingData
from tests.conftest import F32, LITE
from tests.models.trained_models import UNKNOWN, make_model

STAGES = ("blocks.4", "head")


def two_views(lite0: Backbone, photos: Path, names: tuple[str, str]) -> InspectedNetwork:
    """A model of `photos`: half of the weight is equal, so that both views matter."""
    data, weights = open_dataset(photos), (0.4, 0.6)
    heads, members = [], []
    views = {View.parse(f"{LITE}@{name}"): lite0 for name in names}
    backbones = {view: view.of(lite0) for view in views}
    for view, weight in zip(views, weights, strict=True):
        extractor = Extractor(backbone=backbones[view], plan=F32, cache=None)
        values = extractor.extract(data.paths, stages=STAGES).values
        X = np.concatenate([values[stage] for stage in STAGES], axis=1)
        family = FAMILIES["logistic"]
        labeled = LabeledFeatures(X, data.labels, len(data.classes))
        heads.append(family.fit(labeled, np.ones(len(X), np.float32), 1e-2))
        origin = replace(
            make_model().origin,
            backbone=LITE,
            weights=lite0.weights.digest,
            source=lite0.weights.source,
            view=str(view),
            stages=STAGES,
        )
        members.append(Member(origin=origin, head="logistic", weight=weight, accuracy=UNKNOWN))
    model = make_model(
        classes=data.classes,
        head=BlendedHead.of(heads, (1.5, 0.8), weights),
        origin=members[0].origin,
        members=tuple(members),
        temperature=0.9,
        calibration=None,
        data=TrainingData(
            name="photos",
            license="",
            images=(8, 8, 8),
            duplicates=0,
            conflicts=0,
            skipped=0,
            digests=np.zeros((0, 16), np.uint8),
        ),
    )
    first, other = backbones.items()
    return InspectedNetwork(first[1], model, dict([other]))


@pytest.fixture(scope="session")
def centers(lite0: Backbone, photos: Path) -> InspectedNetwork:
    """Two sizes of the center."""
    return two_views(lite0, photos, ("64", "96"))


@pytest.fixture(scope="session")
def whole(lite0: Backbone, photos: Path) -> InspectedNetwork:
    """The center, and the whole image."""
    return two_views(lite0, photos, ("64", "96-whole"))
