"""Which images are learned from; more of it in test_fit.py."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.datasets import open_dataset
from headstart.errors import DataError
from headstart.features.extractor import Extractor
from headstart.models.train_test_split import TrainTestSplit, train_test_parts
from headstart.types import Split

Tiny = Callable[..., Extractor]


def test_every_image_is_learned_from_or_tested_on(photos: Path, tiny: Tiny):
    dataset = open_dataset(photos)
    features = tiny().extract(dataset.paths)
    part = TrainTestSplit.of(dataset, features, hold_out=0.3, seed=0)
    assert sorted([*part.train, *part.test]) == list(range(24))
    assert len(part.test)
    assert (part.labels == dataset.labels[part.train]).all()
    assert part.train_digests == sorted(features.digests[row] for row in part.train)
    whole = TrainTestSplit.of(dataset, features, hold_out=0.0, seed=0)
    assert len(whole.train) == 24


def test_a_validation_part_is_learned_from_where_there_is_a_test_part(photos: Path):
    dataset = open_dataset(photos)
    parts = (Split.TRAIN, Split.VALIDATION, Split.TEST) * 8
    both = train_test_parts(replace(dataset, splits=parts))
    assert both.splits == (Split.TRAIN, Split.TRAIN, Split.TEST) * 8
    parts = (Split.TRAIN, Split.VALIDATION) * 12
    assert train_test_parts(replace(dataset, splits=parts)).splits == parts
    with pytest.raises(DataError, match="has no training part"):
        train_test_parts(replace(dataset, splits=(Split.TEST,) * 24))
