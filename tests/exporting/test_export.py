"""Whole models as files, and the proof that decides whether they are kept."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from headstart.errors import DataError, MissingExtraError, UserError
from headstart.exporting import onnx_graph
from headstart.exporting.check_images import CheckImage, mixed_images, odd_images, of_every_shape
from headstart.exporting.description import FileDescription
from headstart.exporting.export import (
    DifferingFileError,
    ExportSettings,
    check_target,
    export_model,
)
from headstart.exporting.exported_file import open_exported
from headstart.exporting.file_format import Format, InputForm, Weights
from headstart.exporting.onnx_graph import build_graph
from headstart.exporting.proof import record_beside, refused_record
from headstart.exporting.verification import verify_with_record
from headstart.images.decode import decode
from headstart.models.online_prediction import OnlinePredictor
from tests.conftest import files
from tests.exporting.conftest import extractor_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ONNX = ExportSettings(format=Format.ONNX)


@pytest.fixture
def images(new_photos: Path) -> list[CheckImage]:
    return [*of_every_shape(files(new_photos), 6), *odd_images()]


@pytest.mark.parametrize(
    "kind", [Format.ONNX, pytest.param(Format.OPENVINO, marks=pytest.mark.slow)]
)
def test_a_model_of_all_views_answers_alike(of_views, own_network, images, tmp_path, kind):
    names = {one.origin.name for one in of_views.members}
    assert {"net.onnx", "net.onnx@tiles", "net.onnx@mirrored", "net.onnx@48-whole"} <= names
    out = tmp_path / "files" / f"model{kind.suffix}"
    settings = ExportSettings(format=kind)
    proof = export_model(of_views, extractor_of(of_views, own_network), out, settings, images)
    assert proof.holds
    assert len(proof.images) == 16
    assert proof.equal_labels == 16
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(
        [out.name, f"{out.name}.check.csv", *(["model.bin"] if kind is Format.OPENVINO else [])]
    )


def test_what_the_file_says_of_itself(fitted, own_network, images, tmp_path):
    out = tmp_path / "model.onnx"
    extractor = extractor_of(fitted, own_network)
    export_model(fitted, extractor, out, ONNX, images)
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    entries = {one.key: one.value for one in model.metadata_props}
    assert json.loads(entries["headstart.classes"]) == list(fitted.classes)
    assert json.loads(entries["headstart.accuracy"])["value"] == fitted.accuracy.value
    assert entries["headstart.input"] == "image"
    description = FileDescription.of(fitted, extractor, InputForm.IMAGE, Weights.FLOAT32)
    assert open_exported(out).description == description
    assert description.unknown_rate == 0.05
    assert description.weights_licenses == ("unstated",)
    assert str(own_network.parent) not in json.dumps(entries)
    before = out.read_bytes()
    export_model(fitted, extractor, out, ONNX, images)  # replaces its own files
    assert out.read_bytes() == before


def test_answers_are_those_of_predict(fitted, own_network, new_photos, images, tmp_path):
    out = tmp_path / "model.onnx"
    extractor = extractor_of(fitted, own_network)
    export_model(fitted, extractor, out, ONNX, images)
    file, predictor = open_exported(out), OnlinePredictor(fitted, extractor)
    for path in files(new_photos)[:5]:
        found = file.predict(np.asarray(decode(path)))
        expected = predictor.predict([predictor.prepare(path.read_bytes())])
        np.testing.assert_allclose(found.probabilities, expected.probabilities[0], atol=1e-3)
        assert found.label == expected.probabilities[0].argmax()
        assert abs(found.novelty - expected.novelty[0]) <= 0.1
        assert found.known == (found.novelty > 0.05)


def test_crops_for_all_views_but_tiles(of_views, fitted, own_network, images, tmp_path):
    out = tmp_path / "model.onnx"
    settings = replace(ONNX, input=InputForm.CROPS)
    with pytest.raises(UserError, match="as many tiles as it needs"):
        export_model(of_views, extractor_of(of_views, own_network), out, settings, images)
    proof = export_model(fitted, extractor_of(fitted, own_network), out, settings, images)
    assert proof.quantile(1) < 1e-4  # the pixels are Pillow's own
    crops = np.zeros((5, 32, 32, 3), np.uint8)
    assert open_exported(out).run({"crops": crops})["probabilities"].shape == (5, 3)


@pytest.mark.parametrize("weights", [Weights.HALF, Weights.INT8])
def test_smaller_files(fitted, own_network, images, tmp_path, weights):
    extractor = extractor_of(fitted, own_network)
    sizes = {}
    for one in (Weights.FLOAT32, weights):
        out = tmp_path / f"{one}.onnx"
        settings = replace(ONNX, weights=one, tolerance=0.05)
        export_model(fitted, extractor, out, settings, images)
        assert open_exported(out).description.weights is one
        model = onnx.load(out)
        onnx.checker.check_model(model)
        kinds = {tensor.data_type for tensor in model.graph.initializer}
        sizes[one] = kinds
    smaller = {Weights.HALF: onnx.TensorProto.FLOAT16, Weights.INT8: onnx.TensorProto.INT8}
    assert smaller[weights] in sizes[weights] - sizes[Weights.FLOAT32]


def test_a_file_that_answers_differently_is_not_kept(
    fitted, own_network, images, tmp_path, monkeypatch
):
    out = tmp_path / "files" / "model.onnx"
    extractor = extractor_of(fitted, own_network)
    other = replace(fitted, temperature=fitted.temperature * 3)
    export_model(fitted, extractor, out, ONNX, images)
    before = {one: one.read_bytes() for one in out.parent.iterdir()}
    monkeypatch.setattr(onnx_graph, "build_graph", lambda _, *more: build_graph(other, *more))
    with pytest.raises(
        DifferingFileError, match=r"was not written: .*give --tolerance 0\.\d+ instead of 0\.02"
    ) as raised:
        export_model(fitted, extractor, out, ONNX, images)
    assert {one: one.read_bytes() for one in before} == before
    assert raised.value.exit_code == 1
    with refused_record(out).open(encoding="utf-8") as table:
        agrees = [row["agrees"] for row in csv.DictReader(table)]
    assert agrees.count("no") == len(raised.value.proof.differing) > 0
    assert {*out.parent.iterdir()} == {*before, refused_record(out)}
    monkeypatch.undo()
    export_model(fitted, extractor, out, ONNX, images)
    assert {*out.parent.iterdir()} == {*before}


def test_other_files_are_not_replaced(fitted, own_network, images, tmp_path):
    extractor = extractor_of(fitted, own_network)
    out = tmp_path / "model.onnx"
    out.write_bytes(own_network.read_bytes())
    with pytest.raises(DataError, match="is not an exported file"):
        export_model(fitted, extractor, out, ONNX, images)
    with pytest.raises(UserError, match=r"does not end in \.onnx"):
        export_model(fitted, extractor, tmp_path / "model.xml", ONNX, images)
    with pytest.raises(UserError, match="was not written by"):
        open_exported(own_network)


@pytest.mark.parametrize("name", ["m.bin", "m.xml.check.csv", "m.xml.refused.csv"])
def test_files_of_the_names_of_its_parts_are_not_replaced(tmp_path, name):
    out = tmp_path / "m.xml"
    check_target(out, Format.OPENVINO)
    (tmp_path / name).write_text("image,price\n")
    with pytest.raises(DataError, match=f"{name} would be overwritten"):
        check_target(out, Format.OPENVINO)


def test_the_table_of_another_file(fitted, own_network, images, new_photos, tmp_path):
    out = tmp_path / "model.onnx"
    export_model(fitted, extractor_of(fitted, own_network), out, ONNX, images)
    check_target(out, Format.ONNX)
    table, label = record_beside(out), fitted.classes[0]
    table.write_text(table.read_text(encoding="utf-8").replace(f",{label},", ",zebra,"))
    with pytest.raises(UserError, match="table of another file: 'zebra' is not a class"):
        verify_with_record(open_exported(out), out, files(new_photos))


def test_settings_that_contradict_each_other():
    with pytest.raises(UserError, match="float32"):
        replace(ONNX, format=Format.TORCH, weights=Weights.HALF).check()


def test_without_the_extra(fitted, own_network, images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="'export'"):
        export_model(
            fitted, extractor_of(fitted, own_network), tmp_path / "model.onnx", ONNX, images
        )


def test_images_of_every_shape(tmp_path):
    from PIL import Image

    for number, size in enumerate([(8, 8)] * 5 + [(90, 10), (10, 90), (8, 9)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    (tmp_path / "9.png").write_text("not an image")
    chosen = of_every_shape(files(tmp_path), 4)
    assert sorted(Path(one.name).name for one in chosen) == ["0.png", "5.png", "6.png", "7.png"]
    assert len(of_every_shape(files(tmp_path), 100)) == 8
    extremes = {Path(one.name).name for one in of_every_shape(files(tmp_path), 2)}
    assert extremes == {"5.png", "6.png"}


def test_means_of_images_are_as_large_as_the_first(new_photos):
    chosen = of_every_shape(files(new_photos), 9)
    mixed = list(mixed_images(chosen))
    assert len(mixed) == 2
    assert len({one.name for one in mixed}) == 2
    first, other = (np.asarray(decode(chosen[place].read())) for place in (0, 4))
    found = np.asarray(decode(mixed[0].read()))
    assert found.shape == first.shape
    if other.shape == first.shape:
        assert np.abs(found - (first / 2 + other / 2)).max() <= 1


def test_the_example_needs_neither_headstart_nor_more(fitted, own_network, cat, images, tmp_path):
    out = tmp_path / "model.onnx"
    extractor = extractor_of(fitted, own_network)
    export_model(fitted, extractor, out, ONNX, images)
    script = (ROOT / "examples" / "predict_onnx.py").read_text(encoding="utf-8")
    assert "headstart." in script
    assert "import headstart" not in script
    assert "from headstart" not in script
    command = [sys.executable, "-I", str(ROOT / "examples" / "predict_onnx.py"), str(out), str(cat)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    predictor = OnlinePredictor(fitted, extractor)
    p = predictor.predict([predictor.prepare(cat.read_bytes())]).probabilities[0]
    image, label, probability = done.stdout.split()[:3]
    assert (image, label) == (str(cat), fitted.classes[p.argmax()])
    assert float(probability) == pytest.approx(p.max(), abs=0.01)  # a PNG of this size
