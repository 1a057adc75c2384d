"""Backbones against each other on real files, with made-up costs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.backbones import Backbone, list_backbones
from headstart.comparison import successive_halving
from headstart.comparison.backbone_trial import BackboneTrial
from headstart.comparison.cost import Cost
from headstart.comparison.result import ExcludedBackbone
from headstart.comparison.successive_halving import compare
from headstart.datasets import open_dataset
from headstart.engines import EnginePlan
from headstart.errors import BackboneError, DataError
from headstart.features.cost import known_costs, measure_costs
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.system.serialization import to_json
from headstart.types import EngineName
from tests.conftest import KINDS, LITE, files, picture, write_photos
from tests.fake_backbone import FakeBackbone

pytestmark = pytest.mark.slow

Tiny = Callable[..., Extractor]
COSTS = {"tiny": 1.0, "blind": 2.0, "slow": 3.0, "slower": 4.0, "slowest": 5.0}


def faked(extractor: Extractor, **changed: Any) -> FakeBackbone:
    """The extractor's backbone with other forms."""
    assert isinstance(extractor.backbone, FakeBackbone)
    return replace(extractor.backbone, **changed)


def named(extractor: Extractor, name: str) -> Extractor:
    """Another backbone that computes the same."""
    return replace(
        extractor,
        backbone=faked(extractor, name=name, network=network),
        warnings=[],
    )


def network():
    from torch import nn

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(4, 2)

    return Made()


def blind(extractor: Extractor) -> Extractor:
    """A backbone that tells pictures apart, and nothing of what is in them: late digits."""
    seeing = faked(extractor).graph

    def graph():
        from openvino import opset13 as op

        found = seeing()
        for result in found.results:
            wire = result.input(0).get_source_output()
            digits = op.multiply(wire, op.constant(np.float32(1e4)))
            rest = op.subtract(digits, op.floor(digits))
            result.input(0).replace_source_output(rest.output(0))
        return found

    other = named(extractor, "blind")
    return other.with_backbone(faked(other, graph=graph))


def made_up_cost(
    backbone: Backbone, plan: EnginePlan, *, requested: EngineName, view: View | None
) -> Cost:
    cost = COSTS[backbone.name]
    return Cost(images_per_second=1000 / cost, milliseconds=cost, memory_bytes=None)


@pytest.fixture(autouse=True)
def _costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(successive_halving, "measure_cost", made_up_cost)
    monkeypatch.setattr(successive_halving, "measure_costs", lambda *_, **__: {})  # nor decoding


def make(tiny: Tiny, *names: str) -> list[Extractor]:
    return [blind(tiny()) if name == "blind" else named(tiny(), name) for name in names]


def test_says_of_each_what_fit_says(photos: Path, tiny: Tiny):
    dataset = open_dataset(photos)
    found = compare(dataset, make(tiny, "slow", "tiny"), seed=3)
    model = fit(dataset, tiny(), FitSettings(seed=3)).model
    assert [one.name for one in found.backbones] == ["tiny", "slow"]
    for one in found.backbones:
        assert one.accuracy.value == model.accuracy.value
        assert one.accuracy.interval == model.accuracy.interval
        assert one.stages == model.origin.stages
        assert (one.accuracy.images, one.complete) == (24, True)
        assert one.parameters == 10
        assert (one.multiply_adds, one.top1, one.license) == (None, None, "MIT")
    assert found.classes == KINDS
    assert found.frontier == {"tiny"}
    assert found.recommendation.backbone == "tiny"
    assert found.recommendation.against["slow"].difference == 0
    assert [len(found.recommendation.choice), found.images] == [24, 24]


def test_a_view_has_the_parameters_of_its_backbone_which_is_not_built(tiny: Tiny):
    extractor = named(tiny(), LITE)
    unbuilt = replace(extractor, backbone=faked(extractor, network=None), warnings=[])
    cost = Cost(images_per_second=1.0, milliseconds=1.0, memory_bytes=None)
    images: Any = ["one", "two"]
    trial = BackboneTrial(
        extractor=unbuilt.as_view(View(LITE, 352)), cost=cost, correct=np.ones(2, bool)
    )
    one = trial.result(images)
    assert (one.name, one.top1) == (f"{LITE}@352", None)
    assert one.parameters == {info.name: info.parameters for info in list_backbones()}[LITE]


def test_a_cost_is_that_of_a_prediction_which_fit_shows_too(
    photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(successive_halving, "measure_costs", measure_costs)
    extractors = make(tiny, "tiny", "slow")
    found = compare(open_dataset(photos), extractors)
    for one, extractor in zip(found.backbones, extractors, strict=True):
        (cost,) = known_costs(extractor).values()
        assert cost.network == COSTS[one.name]
        assert one.milliseconds == cost.total > COSTS[one.name]


def test_nothing_is_computed_twice(photos: Path, tiny: Tiny):
    dataset = open_dataset(photos)
    first = compare(dataset, make(tiny, "tiny", "slow"))
    again = compare(dataset, make(tiny, "tiny", "slow"))
    assert all(one.pass_images_per_second for one in first.backbones)
    assert [one.pass_images_per_second for one in again.backbones] == [None, None]
    assert fit(dataset, make(tiny, "slow")[0], FitSettings()).computed == 0


def test_the_same_seed_gives_the_same_numbers(photos: Path, tiny: Tiny):
    documents = []
    for _ in range(2):
        found = compare(open_dataset(photos), make(tiny, "tiny", "blind"), seed=5)
        said = to_json(found)
        said.pop("seconds")
        for row in said["backbones"]:
            row.pop("pass_images_per_second")
        documents.append(json.dumps(said, allow_nan=False))
    assert documents[0] == documents[1]


def test_a_backbone_that_sees_nothing_loses(photos: Path, tiny: Tiny):
    found = compare(open_dataset(photos), make(tiny, "tiny", "blind", "slow"))
    seeing, blinded, _ = found.backbones
    assert seeing.accuracy.value > 0.9 > 0.6 > blinded.accuracy.value
    assert found.recommendation.against["blind"].high < 0


def test_copies_and_conflicts_go_as_in_fit(own: Path, tiny: Tiny):
    shutil.copy(files(own / "checks")[0], own / "checks" / "copy.jpg")
    shutil.copy(files(own / "stripes")[0], own / "checks" / "conflict.jpg")
    (own / "noise" / "broken.jpg").touch()
    found = compare(open_dataset(own), make(tiny, "tiny", "slow"))
    assert (found.images, found.duplicates, len(found.conflicts)) == (23, 1, 1)
    assert [one.reason for one in found.skipped] == ["empty file"]
    assert {one.accuracy.images for one in found.backbones} == {23}
    train_images = fit(open_dataset(own), tiny(), FitSettings()).images
    assert train_images == found.images


def test_a_test_part_is_not_looked_at(photos: Path, tiny: Tiny, tmp_path: Path):
    shutil.copytree(photos, tmp_path / "data" / "train")
    write_photos(tmp_path / "data" / "test", 3, first=500)
    split = compare(open_dataset(tmp_path / "data"), make(tiny, "tiny", "slow"))
    whole = compare(open_dataset(photos), make(tiny, "tiny", "slow"))
    assert split.images == whole.images == 24
    assert [one.accuracy for one in split.backbones] == [one.accuracy for one in whole.backbones]


class TestHalving:
    """A round on 12 of the 24 images, then all."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(successive_halving, "_FIRST_SAMPLE", 12)
        monkeypatch.setattr(successive_halving, "_FIRST_SAMPLE_PER_CLASS", 1)
        monkeypatch.setattr(successive_halving, "_Z", 1.0)

    def test_the_hopeless_leave_and_what_is_within_noise_stays(self, photos: Path, tiny: Tiny):
        names = ("tiny", "slow", "slower", "blind")
        found = compare(open_dataset(photos), make(tiny, *names))
        rows = {one.name: one for one in found.backbones}
        assert {name for name, one in rows.items() if one.complete} == {"tiny", "slow", "slower"}
        assert rows["blind"].accuracy.images == 12
        assert "blind" not in found.frontier
        assert "blind" not in found.recommendation.against

    def test_the_cheapest_stays_although_it_is_worst(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setitem(COSTS, "blind", 0.5)
        names = ("tiny", "slow", "slower", "blind")
        found = compare(open_dataset(photos), make(tiny, *names))
        assert all(one.complete for one in found.backbones)
        assert found.frontier == {"blind", "tiny"}

    def test_three_are_not_halved(self, photos: Path, tiny: Tiny):
        found = compare(open_dataset(photos), make(tiny, "tiny", "slow", "blind"))
        assert all(one.complete for one in found.backbones)

    def test_who_left_early_ran_on_few_images(self, photos: Path, tiny: Tiny):
        extractors = make(tiny, "tiny", "slow", "slower", "blind")
        compare(open_dataset(photos), extractors)
        dataset = open_dataset(photos)
        assert extractors[3].extract(dataset.paths).cached == 12


class TestTrouble:
    def test_what_cannot_be_measured_or_run_is_listed(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        def fails(backbone: Backbone, plan: EnginePlan, **options: Any) -> Cost:
            if backbone.name == "slow":
                raise BackboneError("it is too large")
            return made_up_cost(backbone, plan, **options)

        monkeypatch.setattr(successive_halving, "measure_cost", fails)

        extractors = make(tiny, "tiny", "slow", "blind")

        def graph():
            raise BackboneError("its weights are damaged")

        extractors[0] = extractors[0].with_backbone(faked(extractors[0], graph=graph))
        found = compare(
            open_dataset(photos),
            extractors,
            left_out=[ExcludedBackbone("x", "absent")],
        )
        assert [one.name for one in found.backbones] == ["blind"]
        assert found.left_out == (
            ExcludedBackbone("x", "absent"),
            ExcludedBackbone("slow", "it is too large"),
            ExcludedBackbone("tiny", "its weights are damaged"),
        )

    def test_what_breaks_down_later_is_listed(self, photos: Path, tiny: Tiny):
        extractors = make(tiny, "tiny", "slow")

        def graph():
            raise BackboneError("no such operation")

        extractors[1] = extractors[1].with_backbone(faked(extractors[1], graph=graph))
        found = compare(open_dataset(photos), extractors)
        assert [one.name for one in found.backbones] == ["tiny"]
        assert found.left_out == (ExcludedBackbone("slow", "no such operation"),)

    def test_none_left_is_an_error_that_says_why(
        self, photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ):
        def fails(*_: Any, **__: Any) -> Cost:
            raise BackboneError("it is too large")

        monkeypatch.setattr(successive_halving, "measure_cost", fails)

        with pytest.raises(BackboneError, match="no backbone can be compared: tiny: it is too"):
            compare(open_dataset(photos), make(tiny, "tiny"))

    def test_files_that_change_meanwhile_end_it(self, own: Path, tiny: Tiny):
        extractors = make(tiny, "tiny", "slow")

        class Meddling(Extractor):
            def extract(self, *args, **more):
                found = Extractor.extract(self, *args, **more)
                picture("noise", 999).save(files(own / "noise")[0])
                return found

        first = extractors[0]
        extractors[0] = Meddling(backbone=first.backbone, plan=first.plan, cache=None)
        with pytest.raises(DataError, match="files changed while backbones were compared"):
            compare(open_dataset(own), extractors)

    def test_a_single_image_a_class_cannot_be_compared_on(self, tmp_path: Path, tiny: Tiny):
        write_photos(tmp_path / "few", 1)
        with pytest.raises(DataError, match="no class has two images"):
            compare(open_dataset(tmp_path / "few"), make(tiny, "tiny"))

    def test_one_readable_class_cannot_be_compared_on(self, tmp_path: Path, tiny: Tiny):
        write_photos(tmp_path / "one", 4, kinds=("noise",))
        (tmp_path / "one" / "empty").mkdir()
        (tmp_path / "one" / "empty" / "broken.jpg").touch()
        with pytest.raises(DataError, match="only the class 'noise'"):
            compare(open_dataset(tmp_path / "one"), make(tiny, "tiny"))
