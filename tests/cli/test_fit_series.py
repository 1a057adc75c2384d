from pathlib import Path

import numpy as np
import pytest
from PIL import ImageEnhance

from headstart.datasets import open_dataset
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import files, write_photos

pytestmark = pytest.mark.slow

QUICK = ("--stage", "head")


def test_series_stay_together_and_both_accuracies_are_told(cli: Cli, tmp_path: Path):
    photos = write_photos(tmp_path / "photos", 12)
    for path in files(photos):  # pairs of photos: 0_000, 0_001, 1_002, ...
        path.rename(path.with_name(f"scene{int(path.stem) // 2}_{path.name}"))
    command = ("fit", photos, "--out", tmp_path / "model", *QUICK, "--group-by", r"name:^scene\d+")
    said = cli(*command, "--json").document
    assert said["series"]["source"] == r"name:^scene\d+"
    assert (said["series"]["count"], said["series"]["images"]) == (6, 36)
    assert said["series"]["largest"] == 6
    assert all(name.startswith("scene") for name in said["series"]["examples"][0])
    assert 0 <= said["accuracy"] <= 1
    assert said["accuracy_same_scenes"] >= 0.9
    # Six series tell less than 36 independent photos: the interval is wider.
    alone = cli("fit", photos, "--out", tmp_path / "other", *QUICK, "--json").document
    assert said["interval"][0] < alone["interval"][0]
    text = cli(*command).out
    assert "scenes    1.00 on photos of new scenes; 1.00 on more photos of these same" in text
    assert "36 of 36 images belong to 6 series, each of one scene" in text
    card = (tmp_path / "model" / "README.md").read_text()
    assert "on photos of new scenes" in card


def test_repeated_shots_of_uniform_surfaces_stay_together(cli: Cli, tmp_path: Path):
    rng = np.random.default_rng(0)
    fabric = open_dataset("textiles", cache=tmp_path / "cache")
    for number in range(0, len(fabric), len(fabric) // 30):
        image, label = fabric[number]
        for shot in range(3):
            left, top = (int(corner) for corner in rng.integers(0, 15, 2))
            moved = image.crop((left, top, left + 225, top + 225))
            path = tmp_path / "photos" / fabric.classes[label] / f"{number}-{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ImageEnhance.Brightness(moved).enhance(rng.uniform(0.9, 1.1)).save(path)
    photos = tmp_path / "photos"
    said = cli("fit", photos, "--out", tmp_path / "model", *QUICK, "--json").document["series"]
    shown = len(files(photos))
    assert (said["source"], said["images"], said["largest"]) == ("found", shown, 3)
    assert said["count"] == shown // 3


@pytest.mark.parametrize("grouping", ["site", "folder:x", "name:(", "time:0"])
def test_a_grouping_that_means_nothing_is_refused(cli: Cli, own: Path, tmp_path: Path, grouping):
    outcome = cli("fit", own, "--out", tmp_path / "model", "--group-by", grouping)
    assert outcome.code == 2
    assert one_sentence(outcome)
    assert "cannot group by" in outcome.err


def test_groups_that_are_the_classes_are_refused(cli: Cli, own: Path, tmp_path: Path):
    outcome = cli("fit", own, "--out", tmp_path / "model", *QUICK, "--group-by", "folder:1")
    assert outcome.code == 2
    assert "each class is a single group by folder:1" in outcome.err


def test_test_images_of_known_scenes_do_not_count_and_are_told(cli: Cli, tmp_path: Path):
    photos = tmp_path / "data"
    write_photos(photos / "train", 8)
    write_photos(photos / "test", 9, first=20)
    for folder in (photos / "train").iterdir():
        first = files(folder)[0]
        first.rename(first.with_name(f"scene7_{first.name}"))
    for folder in (photos / "test").iterdir():
        for path in files(folder)[:2]:
            path.rename(path.with_name(f"scene7_{path.name}"))
    command = ("fit", photos, "--out", tmp_path / "model", *QUICK, "--group-by", r"name:^scene\d")
    said = cli(*command, "--json").document
    assert (said["tested_images"], said["shared_scenes"]) == (21, 6)
    assert [one["images"] for one in said["recalls"]] == [7, 7, 7]
    text = cli(*command).out
    assert "24 images and 27 held out" in text
    assert "6 of 27 test images show scenes of training images" in text
