"""Predictions as text that can be read back, whatever the names of images and classes."""

import csv
import io
import json

import pytest

from headstart.cli.formats import BatchPrediction, ImagePrediction, as_csv, as_json, as_table
from headstart.images.tiles import PixelBox
from headstart.models.deciding_places import DecidingPlace
from headstart.types import ClassProbability

NAMES = [
    "a\nb.jpg",
    "a\rb.jpg",
    "a,b.jpg",
    'a"b.jpg',
    " lead.jpg",
    "tab\t.jpg",
    "e\u0301.jpg",
]


@pytest.fixture
def batch():
    images = [ImagePrediction(image=name, top=(ClassProbability(name, 0.5),)) for name in NAMES]
    return BatchPrediction(images=images)


def test_csv(batch):
    header, *rows = csv.reader(io.StringIO(as_csv(batch, 1), newline=""))
    assert header == ["image", "label", "probability", "error"]
    assert rows == [[name, name, "0.5", ""] for name in NAMES]


def test_json(batch):
    found = json.loads(as_json(batch, 1))["predictions"]
    assert [one["image"] for one in found] == NAMES


def test_table(batch):
    assert len(as_table(batch, 1).split("\n")) == 1 + len(NAMES)


def test_places_that_decided():
    places = [
        DecidingPlace(box=PixelBox(1, 2, 30, 40), share=0.75),
        DecidingPlace(box=PixelBox(50, 60, 70, 80), share=0.25),
    ]
    top = (ClassProbability("pit", 0.9),)
    batch = BatchPrediction(
        images=[
            ImagePrediction(image="a.jpg", top=top, where=places),
            ImagePrediction(image="b.jpg", top=top, where=()),
            ImagePrediction(image="c.jpg", error="no such file"),
        ]
    )
    header, *rows = csv.reader(io.StringIO(as_csv(batch, 1), newline=""))
    assert header == ["image", "label", "probability", "where", "error"]
    assert [row[3] for row in rows] == ["1 2 30 40|50 60 70 80", "", ""]
    first, second, _ = json.loads(as_json(batch, 1))["predictions"]
    assert first["where"] == [
        {"box": [1, 2, 30, 40], "share": 0.75},
        {"box": [50, 60, 70, 80], "share": 0.25},
    ]
    assert second["where"] == []
    assert "1 2 30 40, 50 60 70 80" in as_table(batch, 1)
