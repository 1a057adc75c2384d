import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.features.cache_usage import clear, usage
from headstart.models.data_location import DataLocation, find_data_location, save_data_location
from tests.models.trained_models import make_model

DATA = make_model().data
SOURCE = DataLocation(
    data="/photos/insects",
    image_column=None,
    label_column="species",
    group_by=None,
    classes_from="first",
    holdout=0.2,
    seed=7,
)


def test_what_was_noted_comes_back(tmp_path: Path):
    save_data_location(tmp_path / "cache", DATA, SOURCE)
    assert find_data_location(tmp_path / "cache", DATA) == SOURCE


def test_the_last_note_counts(tmp_path: Path):
    save_data_location(tmp_path, DATA, SOURCE)
    moved = replace(SOURCE, data="/elsewhere")
    save_data_location(tmp_path, DATA, moved)
    assert find_data_location(tmp_path, DATA) == moved


def test_other_images_have_another_note(tmp_path: Path):
    save_data_location(tmp_path, DATA, SOURCE)
    assert find_data_location(tmp_path, replace(DATA, digests=np.flip(DATA.digests, 0))) is None
    assert find_data_location(tmp_path / "other cache", DATA) is None


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path):
    save_data_location(tmp_path, DATA, SOURCE)
    (note,) = (tmp_path / "index").glob("source-*.json")
    whole = json.loads(note.read_text())
    for content in ("", "[1]", '"x"', '{"data": "x"}', json.dumps(whole | {"more": 1})):
        note.write_text(content)
        assert find_data_location(tmp_path, DATA) is None
    note.write_bytes(b"\xff\xfe")
    assert find_data_location(tmp_path, DATA) is None


def test_what_cannot_be_noted_does_no_harm(tmp_path: Path):
    (tmp_path / "file").write_text("")
    save_data_location(tmp_path / "file" / "cache", DATA, SOURCE)
    assert find_data_location(tmp_path / "file" / "cache", DATA) is None


def test_clearing_the_cache_forgets(tmp_path: Path):
    save_data_location(tmp_path, DATA, SOURCE)
    assert usage(tmp_path).bytes["index"] > 0
    clear(tmp_path)
    assert find_data_location(tmp_path, DATA) is None
