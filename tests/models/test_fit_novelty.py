"""The novelty detector that `fit` gives a model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.datasets import open_dataset
from headstart.features.extractor import Extractor
from headstart.heads.families import FAMILIES
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from tests.conftest import write_photos

Tiny = Callable[..., Extractor]


class TestNovelty:
    def test_is_calibrated_on_the_held_out_images(self, photos: Path, tiny: Tiny):
        novelty = fit(open_dataset(photos), tiny(), FitSettings()).model.novelty
        assert novelty is not None
        assert novelty.detector.images == novelty.estimate.images == 24
        assert novelty.estimate.others == {}  # not the default backbone

    @pytest.mark.parametrize("head", FAMILIES)
    def test_does_not_depend_on_the_head(self, head: str, photos: Path, tiny: Tiny):
        settings = FitSettings(head=head, stages=("fine",), balance=True)
        model = fit(open_dataset(photos), tiny(), settings).model
        assert model.novelty is not None
        assert model.novelty.detector.width == model.head.width

    def test_a_stored_selection_gives_the_same(self, photos: Path, tiny: Tiny):
        first, second = (fit(open_dataset(photos), tiny(), FitSettings()) for _ in range(2))
        assert first.model.novelty is not None
        assert second.model.novelty is not None
        one, other = (x.model.novelty.detector.arrays() for x in (first, second))
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name])

    def test_few_images_have_none(self, tmp_path: Path, tiny: Tiny):
        write_photos(tmp_path / "few", 4)
        assert fit(open_dataset(tmp_path / "few"), tiny(), FitSettings()).model.novelty is None
