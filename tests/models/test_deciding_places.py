"""Places that decided, found with a network that sees nothing but how red the reddest spot is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.backbones.backbone import Weights
from headstart.backbones.stages import LOGITS, Stage
from headstart.datasets import ImageDataset, open_dataset
from headstart.errors import UserError
from headstart.features.extractor import Extractor
from headstart.features.views import Frame, View
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.images.tiles import PixelBox, Tiles
from headstart.models import deciding_places
from headstart.models.deciding_places import DecidingPlaces
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import evaluate, predict
from tests.conftest import F32
from tests.fake_backbone import FakeBackbone

pytestmark = pytest.mark.slow

SIDE, SPOT = 96, 8
TILES = View("spots", None, Frame.TILES)


def graph(*, logits: bool = False) -> Any:
    """Averages and maxima of the colors of squares of `SPOT` pixels; logits are the contrast."""
    import openvino
    from openvino import opset13 as op

    pixels = op.parameter([-1, SIDE, SIDE, 3], np.uint8, "pixels")
    x = op.divide(op.convert(pixels, "f32"), op.constant(np.float32(255)))
    x = op.transpose(x, op.constant(np.array([0, 3, 1, 2])))
    x = op.avg_pool(x, [4, 4], [0, 0], [0, 0], [SPOT, SPOT], False)
    axes = op.constant(np.array([2, 3]))
    outputs = [op.reduce_mean(x, axes, False), op.reduce_max(x, axes, False)]
    if logits:
        outputs.append(op.subtract(outputs[1], outputs[0]))
    return openvino.Model([op.result(y) for y in outputs], [pixels])


@pytest.fixture
def extractor(tmp_path: Path) -> Extractor:
    backbone = FakeBackbone(
        name="spots",
        preprocessing=Preprocessing(
            size=SIDE,
            crop=SIDE,
            interpolation=Interpolation.BILINEAR,
            mean=(0, 0, 0),
            std=(1, 1, 1),
        ),
        stages=(Stage("color", 3),),
        labels=(),
        weights=Weights(source="PyPI: made-up", digest="0" * 32, license="MIT"),
        graph=graph,
    )
    return Extractor(backbone=backbone, plan=F32, cache=tmp_path / "cache").as_view(TILES)


def surface(rng: np.random.Generator, *spots: tuple[int, int]) -> Image.Image:
    base = rng.integers(60, 120)  # so that an average says nothing
    pixels = rng.integers(base, base + 20, (240, 320, 3)).astype(np.uint8)
    for left, top in spots:
        pixels[top : top + 2 * SPOT, left : left + 2 * SPOT] = (230, 80, 80)
    return Image.fromarray(pixels)


@pytest.fixture
def photos_of_surfaces(tmp_path: Path) -> ImageDataset:
    rng = np.random.default_rng(0)
    for label in ("good", "spot"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(20):
            spots = [] if label == "good" else [(rng.integers(300), rng.integers(220))]
            surface(rng, *spots).save(tmp_path / "data" / label / f"{number}.png")
    return open_dataset(tmp_path / "data")


@pytest.fixture
def trained(extractor: Extractor, photos_of_surfaces: ImageDataset):
    return fit(photos_of_surfaces, extractor, FitSettings())


def test_the_place_of_a_defect(trained, extractor, tmp_path):
    rng, model = np.random.default_rng(1), trained.model
    assert model.accuracy.value > 0.9
    assert model.origin.view == "spots@tiles"
    assert model.stages == ("color.max",)
    spots = {"corner": [(0, 0)], "border": [(88, 100)], "two": [(20, 30), (250, 200)], "none": []}
    paths = []
    for name, places in spots.items():
        paths.append(tmp_path / f"{name}.png")
        surface(rng, *places).save(paths[-1])
    found = predict(model, extractor, paths, where=True)
    for name, marked in zip(spots, found.where, strict=True):
        assert sum(one.share for one in marked) == pytest.approx(1 if spots[name] else 0)
        assert len(marked) == len(spots[name])
        for left, top in spots[name]:
            spot = PixelBox(left, top, left + 2 * SPOT, top + 2 * SPOT)
            (box,) = [one.box for one in marked if one.box.overlaps(spot)]
            assert box.right - box.left <= SIDE // 2
    assert found.places(paths)[paths[0]] == found.where[0]
    assert found.where[0][0].as_dict() == {"box": list(found.where[0][0].box), "share": 1.0}
    assert predict(model, extractor, paths).where is None


def test_the_place_is_in_the_upright_image(trained, extractor, tmp_path):
    image = surface(np.random.default_rng(1), (250, 20))
    image.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned right to be upright
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=exif)
    paths = [tmp_path / "upright.png", tmp_path / "lying.png"]
    upright, lying = predict(trained.model, extractor, paths, where=True).where
    assert upright == lying
    assert len(upright) == 1


def test_a_small_image_is_one_tile(trained, extractor, tmp_path):
    image = surface(np.random.default_rng(1), (8, 8)).crop((0, 0, 48, 48))
    image.save(path := tmp_path / "small.png")
    (places,) = predict(trained.model, extractor, [path], where=True).where
    assert len(places) == 1
    assert places[0].box.right <= 48
    assert places[0].box.overlaps(PixelBox(8, 8, 24, 24))


def test_many_tiles_are_pooled_a_few_at_a_time(trained, extractor, tmp_path, monkeypatch):
    surface(np.random.default_rng(1), (20, 30)).save(path := tmp_path / "image.png")
    expected = predict(trained.model, extractor, [path], where=True).where
    pool, pooled = Tiles.pool, []

    def noted(self, outputs, starts):
        pooled.append(len(outputs[0]))
        return pool(self, outputs, starts)

    monkeypatch.setattr(Tiles, "pool", noted)
    monkeypatch.setattr(deciding_places, "_ROWS", 50)
    assert predict(trained.model, extractor, [path], where=True).where == expected
    assert max(pooled) <= 50
    assert pooled.count(44) == 12 * 11 / 44


def test_the_logits_of_tiles_decide_somewhere(extractor, photos_of_surfaces, tmp_path):
    backbone = replace(
        extractor.backbone, labels=("red", "green", "blue"), graph=lambda: graph(logits=True)
    )
    own = Extractor(backbone=backbone, plan=F32, cache=tmp_path / "own").as_view(TILES)
    model = fit(photos_of_surfaces, own, FitSettings(stages=(LOGITS,))).model
    assert model.stages == (LOGITS,)
    surface(np.random.default_rng(1), (20, 30)).save(path := tmp_path / "image.png")
    ((place,),) = predict(model, own, [path], where=True).where
    assert place.box.overlaps(PixelBox(20, 30, 20 + 2 * SPOT, 30 + 2 * SPOT))


def test_models_without_tiles_cannot_tell(trained, extractor, tiny, photos):
    other = tiny()
    whole = fit(open_dataset(photos), other, FitSettings()).model
    with pytest.raises(UserError, match=r"sees no tiles of the images \(tiny\).*tiny@tiles"):
        DecidingPlaces(whole, other)


def test_evaluation_through_tiles(trained, extractor, tmp_path):
    rng = np.random.default_rng(2)
    for label, spots in (("good", []), ("spot", [(100, 100)])):
        (tmp_path / "new" / label).mkdir(parents=True)
        for number in range(3):
            surface(rng, *spots).save(tmp_path / "new" / label / f"{number}.png")
    found = evaluate(trained.model, extractor, open_dataset(tmp_path / "new"))
    assert found.correct.all()
