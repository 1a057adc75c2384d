"""One pass for several views: each gets what it would get alone, and every file is read once."""

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.backbones.stages import LOGITS
from headstart.engines import EnginePlan, LazyEngine, choose, openvino
from headstart.errors import StoreError
from headstart.features import buffer, extraction
from headstart.features.buffer import FeatureBuffer
from headstart.features.extraction import ExtractionPass
from headstart.features.extractor import Extractor
from headstart.features.note_index import NoteIndex
from headstart.features.view_pass import ViewPass
from headstart.features.views import Frame, View, qualified
from headstart.images import presentation
from headstart.images.presentation import CenterCrop, Presentation, present
from headstart.types import EngineName, Precision
from tests.conftest import F32, files, tiny_backbone
from tests.features.test_extractor import assert_same

pytestmark = pytest.mark.slow

WHOLE, OTHER = View("tiny", 32, Frame.WHOLE), View("other")


@pytest.fixture
def several(tiny: Any) -> Extractor:
    """Three views: of two networks, one of them shown images in two ways."""
    extractor = tiny(size=48)
    other = replace(tiny_backbone(digest="1" * 32, size=40), name="other")
    return extractor.with_views({WHOLE: extractor.backbone, OTHER: other})


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Counter[Any]:
    """Count the calls of a function by their first argument."""
    calls: Counter[Any] = Counter()
    function = getattr(module, name)

    def call(first, *arguments, **options):
        calls[first] += 1
        return function(first, *arguments, **options)

    monkeypatch.setattr(module, name, call)
    return calls


def alone(extractor: Extractor, paths: list[Path]) -> dict[str, np.ndarray]:
    """The features of passes of their own, without a cache."""
    found = {}
    for view in (None, *extractor.others):
        own = replace(extractor.only([view]), cache=None).extract(paths)
        for stage, values in own.values.items():
            found[stage if view is None else qualified(view, stage)] = values
    return found


def assert_each_as_alone(found: Any, extractor: Extractor, paths: list[Path]) -> None:
    expected = alone(extractor, paths)
    assert list(found.values) == list(expected)
    for stage, values in expected.items():
        np.testing.assert_array_equal(found.values[stage], values)


def test_every_file_is_read_and_decoded_once(several, photos, monkeypatch):
    # A JPEG may be decoded at different scales for different views.
    paths = [path for path in files(photos) if path.suffix == ".png"]
    reads = counted(monkeypatch, extraction, "read_bytes")
    decodings = counted(monkeypatch, presentation, "decode")
    found = several.extract(paths)
    assert set(reads.values()) == set(decodings.values()) == {1}
    assert len(decodings) == len(paths) == found.computed
    assert_each_as_alone(found, several, paths)


def test_each_view_computes_what_it_lacks(several, photos):
    paths = files(photos)
    several.only([WHOLE]).extract(paths[:10])
    several.only([OTHER]).extract(paths[5:])
    seen = []
    found = several.extract(paths, progress=lambda *one: seen.append(one))
    assert_each_as_alone(found, several, paths)
    assert seen[-1] == (3 * len(paths), 3 * len(paths))
    assert seen == sorted(seen)
    for view in (None, WHOLE, OTHER):
        assert several.only([view]).extract(paths).computed == 0


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_computed_anew_for_all_views(several, own):
    paths = files(own)
    several.only([None]).extract(paths)
    shutil.copy(paths[-1], paths[0])
    (own / "text.png").write_text("no image")
    paths = [*paths, own / "text.png"]
    found = several.extract(paths)
    assert found.rows.tolist() == list(range(24))
    assert found.digests[0] == found.digests[23]
    assert [one.path for one in found.skipped] == [str(paths[-1])]
    assert_each_as_alone(found, several, paths)


def test_ctrl_c_keeps_what_every_view_has_computed(several, photos):
    def interrupt(done: int, total: int) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    paths = files(photos)
    with pytest.raises(KeyboardInterrupt):
        several.extract(paths, progress=interrupt)
    counts = [24 - several.only([view]).extract(paths).computed for view in (None, WHOLE, OTHER)]
    assert sum(counts) == 40
    assert_each_as_alone(several.extract(paths), several, paths)


def test_features_cleared_by_another_process_are_computed_again(several, photos, monkeypatch):
    values, cleared = FeatureBuffer.values, []

    def clear_third(self, *arguments):
        cleared.append(1)
        if len(cleared) == 3:
            shutil.rmtree(several.cache / "features")
        return values(self, *arguments)

    expected = alone(several, files(photos))
    monkeypatch.setattr(buffer.FeatureBuffer, "values", clear_third)
    found = several.extract(files(photos))
    for stage, array in expected.items():
        np.testing.assert_array_equal(found.values[stage], array)


def test_a_cache_that_is_always_cleared_is_an_error(several, photos, monkeypatch):
    def gone(self, *arguments):
        raise StoreError("gone")

    monkeypatch.setattr(FeatureBuffer, "values", gone)
    with pytest.raises(StoreError, match="gone"):
        several.extract(files(photos)[:2])


def test_another_engine_steps_in_for_one_view(several, photos, monkeypatch):
    plan = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)
    build = choose.build_engine

    def replaced(backbone, planned, **options):
        engine = build(backbone, F32, **options)
        if backbone.name == "other":
            engine.plan = plan
        return engine

    monkeypatch.setattr(choose, "build_engine", replaced)
    paths = files(photos)
    found = several.extract(paths)
    assert several.others[OTHER].effective_plan == plan
    assert several.effective_plan == several.others[WHOLE].effective_plan == F32
    assert_each_as_alone(found, several, paths)
    assert_same(several.extract(paths), found)


@dataclass(frozen=True)
class Turns:
    """An image turned by more angles the wider it is, with the maximum over them."""

    center: CenterCrop

    def min_decode_size(self, width, height):
        return width, height

    def prepare(self, image):
        turned = [image.rotate(angle) for angle in range(0, image.width, 30)]
        return np.concatenate([self.center.prepare(one) for one in turned])

    def pool(self, outputs, starts):
        return [np.maximum.reduceat(rows, starts) for rows in outputs]


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches_span_the_crops_of_several_images(photos, batch, monkeypatch):
    monkeypatch.setattr(openvino, "BATCH", batch)
    backbone = tiny_backbone(size=48)
    single = CenterCrop(backbone.preprocessing)
    several = Turns(single)
    paths = files(photos)
    work = ExtractionPass(
        paths,
        {None: view_pass(single), WHOLE: view_pass(several)},
        index=None,
        notes=NoteIndex(None),
        progress=lambda done, total: seen.append((done, total)),
    )
    seen = []
    assert work.run()
    found = work.result(0)
    assert seen[-1] == (48, 48)
    own = Extractor(backbone=backbone, plan=F32, cache=None).extract(paths)
    shown = [present(path.read_bytes(), {0: several})[0] for path in paths]
    assert {len(crops) for crops in shown} == {3, 4, 5, 6, 7}
    for stage, values in own.values.items():
        np.testing.assert_array_equal(found.values[stage], values)
    for values, crops in zip(found.values[qualified(WHOLE, "coarse")], shown, strict=True):
        np.testing.assert_allclose(values, crops.mean((1, 2)).max(0) / 255, rtol=1e-4)


def view_pass(presentation: Presentation) -> ViewPass:
    engine = LazyEngine(tiny_backbone(), F32, requested=EngineName.AUTO, warn=pytest.fail)
    stored = FeatureBuffer(None, {"fine": 48, "coarse": 3, LOGITS: 5}, [])
    return ViewPass(["fine", "coarse"], engine=engine, presentation=presentation, buffer=stored)
