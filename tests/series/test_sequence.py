from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.images.capture import Capture
from headstart.series import sequence
from headstart.series.sequence import follow_each_other

CAPTURE = Capture(datetime(2024, 5, 31, 12), "Acme")


def test_names_that_follow_each_other_count_if_near_pairs_have_them_often():
    paths = [Path(f"site/IMG_{7 * number:04}.jpg") for number in range(0, 400, 2)]
    labels = np.zeros(len(paths), np.int64)
    left = np.arange(0, 60, 2)
    near = follow_each_other([*paths[::1]], labels, left, left + 1)
    assert not near.any()  # steps of 14
    paths = [Path(f"site/IMG_{number:04}.jpg") for number in range(200)]
    assert follow_each_other(paths, labels, left, left + 1).all()


def test_names_are_no_evidence_where_near_pairs_have_them_by_chance():
    rng = np.random.default_rng(0)
    paths = [Path(f"IMG_{number:04}.jpg") for number in range(200)]
    labels = np.zeros(200, np.int64)
    pairs = np.array([rng.choice(200, 2, replace=False) for _ in range(50)])
    assert not follow_each_other(paths, labels, pairs[:, 0], pairs[:, 1]).any()
    alike = [Path(f"IMG_{number % 5}.jpg") for number in range(200)]  # all follow each other
    assert not follow_each_other(alike, labels, pairs[:, 0], pairs[:, 1]).any()


def test_capture_times_count(tmp_path):
    paths, rng = [], np.random.default_rng(1)
    for number in range(60):
        exif = Image.Exif()
        exif[0x0132] = f"2024:05:{1 + number // 2 % 28:02} {number // 2 % 24:02}:00:{number % 2}9"
        path = tmp_path / f"{rng.integers(10**9)}.jpg"
        Image.new("RGB", (8, 8)).save(path, exif=exif)
        paths.append(path)
    labels, left = np.zeros(60, np.int64), np.arange(0, 40, 2)
    assert follow_each_other(paths, labels, left, left + 1).all()
    assert not follow_each_other(paths, labels, left, left + 20).any()


def test_nothing_follows_from_nothing():
    empty = np.zeros(0, np.int64)
    assert follow_each_other([], empty, empty, empty).tolist() == []
    assert not follow_each_other(
        [Path("a"), Path("b")], np.zeros(2, np.int64), np.array([0]), np.array([1])
    ).any()


@pytest.mark.parametrize("year", ["0001:01:01", "9999:12:31"])
def test_a_camera_whose_clock_was_never_set_breaks_nothing(tmp_path, year):
    paths = []
    for number in range(4):
        exif = Image.Exif()
        exif[0x0132] = f"{year} 00:00:00"
        paths.append(tmp_path / f"{number}.jpg")
        Image.new("RGB", (8, 8)).save(paths[-1], exif=exif)
    labels, left = np.zeros(4, np.int64), np.array([0])
    assert not follow_each_other(paths, labels, left, left + 1).any()


def test_few_files_are_read_for_their_times(monkeypatch):
    read = []

    def read_capture(path):
        read.append(path)
        return CAPTURE

    monkeypatch.setattr(sequence, "read_capture", read_capture)
    paths = [Path(f"{'x' * number}.jpg") for number in range(1, 3_000)]
    follow_each_other(paths, np.zeros(2_999, np.int64), np.array([0]), np.array([1]))
    assert len(read) <= 602
