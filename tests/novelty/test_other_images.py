"""The summary of images of other things fits the default backbone, and no other."""

import csv
from importlib.resources import files

import numpy as np

from headstart.backbones import load_backbone
from headstart.novelty.other_images import KINDS, other_images
from headstart.types import DEFAULT_BACKBONE


def test_the_default_backbone_has_features_of_every_stage():
    backbone = load_backbone(DEFAULT_BACKBONE)
    stages = [stage.name for stage in backbone.stages]
    found = other_images(backbone.weights.digest, stages)
    assert tuple(found) == KINDS
    for parts in found.values():
        assert [part.shape[1] for part in parts] == [stage.width for stage in backbone.stages]
        assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts)
    assert len(found["photos"][0]) == 128


def test_other_weights_and_other_stages_have_none():
    backbone = load_backbone(DEFAULT_BACKBONE)
    assert other_images("0" * 32, ["head"]) == {}
    assert other_images(backbone.weights.digest, ["logits"]) == {}


def test_every_photo_names_its_author_and_license():
    text = (files("headstart.novelty") / "other_images.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 128
    assert all(row["author"] and row["source"] and "by/2.0" in row["license"] for row in rows)
