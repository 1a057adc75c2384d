from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from headstart.errors import BackboneError
from headstart.features.views import Frame, View, is_own, qualified, view_and_stage
from headstart.images.preprocessing import Resize, prepare
from headstart.images.presentation import CenterCrop
from headstart.images.tiles import Tiles
from tests.conftest import tiny_backbone

TEXTS = {
    "net": View("net"),
    "net@352": View("net", 352),
    "net@whole": View("net", None, Frame.WHOLE),
    "timm:net.in1k@224-whole": View("timm:net.in1k", 224, Frame.WHOLE),
    "net@padded": View("net", None, Frame.PADDED),
    "net@64-mirrored": View("net", 64, Frame.MIRRORED),
    "net@tiles": View("net", None, Frame.TILES),
    "net@448-tiles": View("net", 448, Frame.TILES),
    "hf-hub:user/net-whole": View("hf-hub:user/net-whole"),
    "hf-hub:user/net@main": View("hf-hub:user/net@main"),
    "a@b.onnx": View("a@b.onnx"),
    "net+tuned": View("net", tuned=True),
    "net@352-whole+tuned": View("net", 352, Frame.WHOLE, tuned=True),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text):
    view = View.parse(f" {text} ")
    assert view == TEXTS[text]
    assert str(view) == text


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "NAME@SIZE-FRAME"), (" ", "whole, padded, mirrored or tiles"),
        ("net@", "mirrored or tiles"), ("net@0", "mirrored or tiles"),
        ("net@160-foo", "mirrored or tiles"), ("net@center", "mirrored or tiles"),
        ("net@16", "32 to 1024"), ("net@4000", "32 to 1024"),
    ],
)  # fmt: skip
def test_texts_that_are_no_view(text, advice):
    with pytest.raises(BackboneError, match=advice):
        View.parse(text)


def test_preprocessing_of_views():
    backbone = tiny_backbone()
    own, name = backbone.preprocessing, backbone.name
    assert View(name).of(backbone).preprocessing == own
    larger = View(name, 64).of(backbone).preprocessing
    assert larger == replace(own, size=64, crop=64)
    whole = View(name, None, Frame.WHOLE).of(backbone).preprocessing
    assert whole == replace(own, size=own.crop, crop=own.crop, resize=Resize.STRETCH)
    padded = View(name, 64, Frame.PADDED).of(backbone).preprocessing
    assert padded == replace(own, size=64, crop=64, resize=Resize.LONGER)
    with pytest.raises(BackboneError, match=f"give the view {name}@64, or the network other"):
        View("other", 64).of(backbone)


def test_tiles_have_maxima_besides():
    backbone = tiny_backbone()
    tiled = View(backbone.name, 64, Frame.TILES)
    found = tiled.of(backbone)
    assert [(one.name, one.width) for one in found.outputs] == [
        ("fine", 48), ("coarse", 3), ("fine.max", 48), ("coarse.max", 3),
    ]  # fmt: skip
    assert found.outputs[:2] == found.stages == backbone.outputs
    assert tiled.presentation(found) == Tiles(found.preprocessing, averages=2)
    assert tiled.presentation(found).prepare(Image.new("RGB", (100, 64))).shape == (2, 64, 64, 3)
    assert View(backbone.name).presentation(backbone) == CenterCrop(backbone.preprocessing)
    assert not View(backbone.name).of(found).peaks


def test_the_whole_image_is_seen():
    image = Image.new("RGB", (300, 100))
    image.paste((255, 0, 0), (0, 0, 30, 100))  # cropped from the center, this edge is lost
    backbone = tiny_backbone()
    name = backbone.name
    center = prepare(image, View(name).of(backbone).preprocessing)
    whole = prepare(image, View(name, None, Frame.WHOLE).of(backbone).preprocessing)
    assert center.max() == 0
    np.testing.assert_allclose(whole[..., 0].mean(), 25.5, atol=3)


def test_stage_names():
    view = View("net", 352)
    assert view_and_stage(qualified(view, "blocks.5")) == ("net@352", "blocks.5")
    assert view_and_stage("blocks.5") == (None, "blocks.5")
    assert is_own("blocks.5")
    assert not is_own(qualified(view, "blocks.5"))
