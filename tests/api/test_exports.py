"""A fitted classifier whose network is a module of the user's, handed to functions again."""

from __future__ import annotations

from pathlib import Path

import pytest

import headstart
from headstart.errors import HeadstartWarning, UserError
from headstart.exporting import check_images
from headstart.exporting.export import ExportSettings
from headstart.exporting.file_format import Format, InputForm
from tests.backbones.onnx_file import STATED, TinyNet

pytestmark = pytest.mark.slow


@pytest.fixture
def own_classifier(photos: Path) -> headstart.Classifier:
    return headstart.fit(photos, backbone=TinyNet(), preprocessing=STATED, verbose=False)


def test_a_classifier_with_a_module_is_run_in_another_way(
    own_classifier: headstart.Classifier, new_photos: Path, tmp_path: Path
) -> None:
    expected = headstart.evaluate(own_classifier, new_photos).accuracy
    for runtime in ({"precision": "f32"}, {"cache": tmp_path / "cache"}):
        found = headstart.evaluate(own_classifier, new_photos, **runtime)  # type: ignore[arg-type]
        assert found.accuracy == expected


def test_a_classifier_with_a_module_is_exported(
    own_classifier: headstart.Classifier,
    photos: Path,
    new_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_images, "_ODD", {})
    out = tmp_path / "model.onnx"
    assert headstart.export(own_classifier, out, photos, storage="float16", check=4).holds
    assert headstart.verify(out, photos, model=own_classifier).proof.holds
    assert repr(headstart.export(own_classifier, out, photos, check=4)).startswith("<Proof: ")
    with pytest.warns(HeadstartWarning, match="none of the images was among the training images"):
        headstart.export(own_classifier, out, new_photos, check=2)
    with pytest.raises(UserError, match="there is no storage 'float8'; choose one of float32"):
        headstart.export(own_classifier, out, photos, storage="float8")


def test_settings_by_the_ending_of_a_file() -> None:
    assert ExportSettings.for_file(Path("a.xml")).format is Format.OPENVINO
    assert ExportSettings.for_file(Path("a.pt2")).input is InputForm.IMAGE
    assert ExportSettings.for_file(Path("a.pt2"), format=Format.ONNX).format is Format.ONNX
