"""Programs of torch.export, against `headstart predict`."""

import numpy as np
import pytest
import torch

from headstart import Classifier
from headstart.backbones.own_module import module_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.errors import BackboneError
from headstart.exporting.check_images import CheckImage, odd_images
from headstart.exporting.export import ExportSettings, export_model
from headstart.exporting.file_format import Format, InputForm
from headstart.exporting.torch_program import ClassifierProgram
from headstart.models.model_backbone import build_model_extractor
from headstart.models.online_prediction import OnlinePredictor
from headstart.types import Precision
from tests.backbones.onnx_file import STATED, TinyNet
from tests.conftest import files
from tests.exporting.conftest import extractor_of

pytestmark = pytest.mark.slow  # importing PyTorch's exporter takes seconds


@pytest.fixture(scope="module")
def prepared(photos):
    paths = files(photos)
    labels = [path.parent.name for path in paths]
    model = Classifier(backbone=TinyNet(), preprocessing=STATED).fit(paths, labels).model_
    backbone = module_backbone(TinyNet(), preprocessing_from(STATED, where=""))
    return model, build_model_extractor(model, backbone=backbone, precision=Precision.FLOAT32)


def test_it_computes_what_predict_does(prepared, new_photos):
    model, extractor = prepared
    predictor = OnlinePredictor(model, extractor)
    images = [predictor.prepare(path.read_bytes()) for path in files(new_photos)]
    expected = predictor.predict(images)
    crops = torch.from_numpy(np.concatenate([one.crops[None] for one in images]))
    with torch.no_grad():
        p, labels, novelty, known = ClassifierProgram(model, extractor, InputForm.CROPS)(crops)
    np.testing.assert_allclose(p, expected.probabilities, atol=1e-4)
    assert labels.tolist() == expected.probabilities.argmax(1).tolist()
    assert np.abs(novelty.numpy() - expected.novelty).mean() < 0.01
    assert known.tolist() == (novelty > 0.05).tolist()


@pytest.mark.parametrize("form", InputForm)
def test_the_file_needs_pytorch_alone(prepared, new_photos, tmp_path, form):
    model, extractor = prepared
    out = tmp_path / "model.pt2"
    settings = ExportSettings(format=Format.TORCH, input=form)
    images = [*(CheckImage(str(path)) for path in files(new_photos)[:4]), *odd_images()]
    proof = export_model(model, extractor, out, settings, images)
    assert proof.equal_labels == len(proof.images) == 14
    assert proof.quantile(1) < 0.01
    program = torch.export.load(out).module()
    if form is InputForm.IMAGE:
        for height, width in [(1, 1), (3, 700), (41, 40)]:
            found = program(torch.zeros(height, width, 3, dtype=torch.uint8))
            assert [tuple(one.shape) for one in found] == [(3,), (), (), ()]
    else:
        for count in (1, 3):
            found = program(torch.zeros(count, 32, 32, 3, dtype=torch.uint8))
            assert found[0].shape == (count, 3)


def test_tiles_are_refused(of_views, own_network):
    with pytest.raises(BackboneError, match="@tiles shows an image in as many tiles as it needs"):
        ClassifierProgram(of_views, extractor_of(of_views, own_network), InputForm.IMAGE)
