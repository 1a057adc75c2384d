"""How well a network transfers, on a tiny one whose weights can be changed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone
from headstart.datasets import open_dataset
from headstart.errors import DataError
from headstart.evaluation.paired_tests import paired_difference
from headstart.features.extractor import Extractor
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.system.serialization import to_json
from headstart.transfer import transfer_report
from headstart.transfer.advice import Action
from headstart.transfer.paired_scores import ClassifierScore, better_than
from headstart.transfer.transfer_report import measure_transfer
from tests.conftest import F32, KINDS, picture, tiny_backbone, write_photos

pytestmark = pytest.mark.slow

_SIDE = 32


def mixing_graph(mix: np.ndarray):
    """Means over quarters of a picture, mixed; and over the whole of it."""
    import openvino
    from openvino import opset13 as op

    pixels = op.parameter([-1, _SIDE, _SIDE, 3], np.uint8, "pixels")
    x = op.divide(op.convert(pixels, "f32"), op.constant(np.float32(255)))
    x = op.transpose(x, op.constant(np.array([0, 3, 1, 2])))
    part = _SIDE // 4
    parts = op.avg_pool(x, [part, part], [0, 0], [0, 0], [part, part], False)
    flat = op.reshape(parts, op.constant(np.array([0, 48])), True)
    fine = op.matmul(flat, op.constant(mix), False, False)
    coarse = op.reduce_mean(x, op.constant(np.array([2, 3])), False)
    logits = op.matmul(coarse, op.constant(np.ones((3, 5), np.float32)), False, False)
    return openvino.Model([op.result(y) for y in (fine, coarse, logits)], [pixels])


def mixing(backbone: Any, tensors: Mapping[str, np.ndarray]) -> Backbone:
    return replace(
        backbone,
        graph=lambda: mixing_graph(tensors["mix.weight"]),
        tensors=lambda: tensors,
        refilled=mixing,
    )


@pytest.fixture
def extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Extractor:
    # It has no batch normalization, and no PyTorch form to look for any in.
    monkeypatch.setattr(transfer_report, "batch_moments", lambda *_: {})
    monkeypatch.setattr("headstart.transfer.random_weights.batch_moments", lambda *_, **__: {})
    weights = {"mix.weight": np.eye(48, dtype=np.float32)}
    return Extractor(backbone=mixing(tiny_backbone(), weights), plan=F32, cache=tmp_path / "cache")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("many") / "many", 16)


def test_the_numbers_of_fit_are_found_again(extractor: Extractor, many: Path):
    dataset = open_dataset(str(many))
    found = measure_transfer(dataset, extractor, seed=3)
    model = fit(dataset, extractor, FitSettings(seed=3)).model
    assert found.chosen.accuracy.value == model.accuracy.value
    assert found.chosen.accuracy.interval == model.accuracy.interval
    assert found.chosen_stages == model.origin.stages
    assert {one.name: one.accuracy.value for one in found.stages} == {
        stage: measured.value for stage, measured in model.accuracy_by_stage.items()
    }


def test_everything_is_compared_on_the_same_images(extractor: Extractor, many: Path):
    found = measure_transfer(open_dataset(str(many)), extractor)
    assert found.images == found.available == 48
    assert [one.name for one in found.baselines] == ["raw pixels", "descriptors", "random weights"]
    for one in (*found.stages, *found.random_stages, *found.baselines, found.chosen):
        assert one.correct.shape == (48,)
        assert one.correct.dtype == bool
    random = found.baselines[-1].correct
    assert found.gain == paired_difference(found.chosen.correct, random)
    # What the weights do not reach is the same with random ones.
    np.testing.assert_array_equal(found.stages[-1].correct, found.random_stages[-1].correct)


def test_random_weights_are_those_that_were_drawn(
    extractor: Extractor, many: Path, monkeypatch: pytest.MonkeyPatch
):
    blind = {"mix.weight": np.zeros((48, 48), np.float32)}
    monkeypatch.setattr(
        transfer_report,
        "randomize_weights",
        lambda backbone, *, seed: backbone.with_tensors(blind, source=f"{seed}"),
    )
    found = measure_transfer(open_dataset(str(many)), extractor)
    assert found.stages[0].accuracy.value > 0.9
    assert found.random_stages[0].accuracy.value < 0.6  # it sees nothing: a guess


def test_the_document_has_every_key_and_is_json(extractor: Extractor, many: Path):
    found = to_json(measure_transfer(open_dataset(str(many)), extractor))
    text = json.dumps(found, allow_nan=False)
    assert {
        "data", "backbone", "images", "classes", "stages", "chosen", "raw_pixels", "descriptors",
        "random_weights", "gain", "negative_transfer", "distance", "nearest_classes",
        "learning_curve", "advice", "skipped", "seconds",
    } <= json.loads(text).keys()  # fmt: skip
    assert found["distance"] is None
    assert "no batch normalization" in found["distance_unknown"]
    assert set(found["gain"]) == {"value", "interval", "of", "over"}
    assert found["advice"]["action"] in list(Action)
    assert len(found["nearest_classes"]["by_class"]) == 3


def test_the_same_seed_gives_the_same_document(extractor: Extractor, many: Path):
    documents = [to_json(measure_transfer(open_dataset(str(many)), extractor)) for _ in range(2)]
    for document in documents:
        del document["seconds"]
    assert documents[0] == documents[1]


def striped(root: Path, count: int) -> Path:
    """Classes that differ in where they are bright, and not in their mean."""
    rng = np.random.default_rng(0)
    for name, rows in (("top", slice(0, 32)), ("bottom", slice(32, 64))):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 60, (64, 64, 3))
            pixels[rows] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{index}.png")
    return root


def test_negative_transfer_is_called_by_its_name(extractor: Extractor, tmp_path: Path):
    # The last layer knows only the mean color, which is the same in both classes.
    found = measure_transfer(open_dataset(str(striped(tmp_path / "x", 24))), extractor)
    document = to_json(found)["negative_transfer"]
    assert document["found"]
    assert {"raw_pixels", "random_weights"} <= set(document["beat_last"])
    assert document["beat_chosen"] == []
    assert found.advice.action is Action.EARLIER_STAGES  # nearly all are right
    assert found.chosen_stages[0] == "fine"


def test_only_what_is_surely_better_is_ahead():
    rng = np.random.default_rng(0)
    last = ClassifierScore(name="last", detail="", correct=rng.random(200) < 0.8)
    better = ClassifierScore(
        name="better", detail="", correct=last.correct | (rng.random(200) < 0.7)
    )
    luckier = ClassifierScore(name="luckier", detail="", correct=np.array(last.correct))
    luckier.correct[np.flatnonzero(~last.correct)[:1]] = True
    assert better_than(last, [better, luckier, last]) == (better,)


def test_of_many_images_some_of_each_class_are_drawn(extractor: Extractor, many: Path):
    found = measure_transfer(open_dataset(str(many)), extractor, images=24)
    assert 12 <= found.images <= 36
    assert found.available == found.curve.available == 48


def test_broken_files_and_copies_are_left_out_and_listed(extractor: Extractor, tmp_path: Path):
    root = write_photos(tmp_path / "some", 8)
    (root / KINDS[0] / "broken.jpg").write_bytes(b"no picture")
    picture(KINDS[1], 1).save(root / KINDS[1] / "again.png")
    found = measure_transfer(open_dataset(str(root)), extractor)
    assert [Path(one.path).name for one in found.skipped] == ["broken.jpg"]
    assert found.duplicates == 1
    assert found.images == 24


def test_the_test_part_stays_untouched(extractor: Extractor, tmp_path: Path):
    root = tmp_path / "parted"
    write_photos(root / "train", 8)
    write_photos(root / "test", 4, first=100)
    assert measure_transfer(open_dataset(str(root)), extractor).images == 24


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_are_a_sentence(count: int, extractor: Extractor, tmp_path: Path):
    root = write_photos(tmp_path / "few", count)
    with pytest.raises(DataError, match="too few to compare classifiers"):
        measure_transfer(open_dataset(str(root)), extractor)
