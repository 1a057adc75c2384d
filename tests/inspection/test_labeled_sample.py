import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.datasets import open_dataset
from headstart.errors import DataError
from headstart.images.decode import decode
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.inspection.labeled_sample import LabeledSample, draw_sample
from headstart.models.saved_model import load_model
from tests.conftest import KINDS, files, tiny_backbone, write_photos

pytestmark = pytest.mark.slow


@dataclass
class Network:
    classes: tuple[str, ...] = KINDS
    preprocessing: Preprocessing = tiny_backbone().preprocessing


def draw(folder: Path, *, images: int = 100, seed: int = 0, model=None, **network) -> LabeledSample:
    dataset = open_dataset(folder, require_classes=1)
    return draw_sample(dataset, Network(**network), model=model, images=images, seed=seed)


def test_all_of_a_small_set(new_photos: Path):
    sample = draw(new_photos)
    assert len(sample) == sample.available == 12
    assert set(sample.paths) == set(files(new_photos))
    for path, label, pixels, accepted in zip(
        sample.paths, sample.labels, sample.pixels, sample.accepted, strict=True
    ):
        assert label == path.parent.name
        assert [KINDS[i] for i in np.flatnonzero(accepted)] == [label]
        preprocessing = Network().preprocessing
        image = decode(path, min_size=preprocessing.min_decode_size)
        assert np.array_equal(pixels, prepare(image, preprocessing))


def test_classes_keep_their_shares(tmp_path: Path):
    write_photos(tmp_path, 18, kinds=("noise",))
    write_photos(tmp_path, 6, kinds=("stripes",))
    for seed in range(4):
        counts = Counter(draw(tmp_path, images=12, seed=seed).labels)
        assert abs(counts["noise"] - 9) <= 1
        assert counts.total() == 12


def test_the_seed_decides(photos: Path):
    first, again, other = (draw(photos, images=6, seed=seed) for seed in (1, 1, 2))
    assert first.paths == again.paths
    assert np.array_equal(first.pixels, again.pixels)
    assert set(first.paths) != set(other.paths)


def test_what_cannot_be_read_is_replaced_and_listed(tmp_path: Path):
    write_photos(tmp_path, 3)
    for place in range(3):
        (tmp_path / "noise" / f"broken{place}.jpg").write_bytes(b"\xff\xd8\xffno")
    told: list[tuple[int, int]] = []
    sample = draw_sample(
        open_dataset(tmp_path), Network(), model=None, images=9, seed=0,
        progress=lambda *news: told.append(news),
    )  # fmt: skip
    assert len(sample) == 9
    assert {Path(one.path).stem for one in sample.skipped} <= {"broken0", "broken1", "broken2"}
    assert told[-1] == (9, 9)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(draw(tmp_path, images=12).skipped) == 3


def test_copies_count_once_and_two_labels_not_at_all(tmp_path: Path):
    write_photos(tmp_path, 3)
    first, second, third = files(tmp_path / "noise")
    with Image.open(second) as image:  # other bytes, the same pixels
        image.save(tmp_path / "noise" / "copy.bmp")
    shutil.copy(third, tmp_path / "checks" / "other.jpg")
    sample = draw(tmp_path)
    assert len(sample) == 8
    assert first in sample.paths
    (conflict,) = sample.conflicts
    assert conflict.labels == ("checks", "noise")
    assert third not in sample.paths


def test_what_the_model_was_trained_on_is_left_out(photos: Path, new: Path, model: Path):
    for path in files(photos / "noise")[:3]:
        shutil.copy(path, new / "noise" / f"seen-{path.name}")
    sample = draw(new, model=load_model(model))
    assert (len(sample), sample.seen) == (12, 3)
    with pytest.raises(DataError, match="24 were in the model's own training data"):
        draw(photos, model=load_model(model))


def test_unknown_classes_are_left_out(new: Path, model: Path):
    (new / "noise").rename(new / "unheard")
    sample = draw(new, model=load_model(model))
    assert (len(sample), sample.available) == (8, 8)
    assert {one.reason for one in sample.skipped} == {"the model does not know its class (unheard)"}
    for kind in ("checks", "stripes"):
        shutil.rmtree(new / kind)
    with pytest.raises(DataError, match=r"the model knows none of the classes of .* \(unheard\)"):
        draw(new, model=load_model(model))


def test_a_group_of_a_backbone_accepts_all_its_classes(lite0, tmp_path: Path):
    write_photos(tmp_path, 1)
    for kind, name in zip(KINDS, ("cat", "goldfish", "noise"), strict=True):
        (tmp_path / kind).rename(tmp_path / ("unknown" if name == "noise" else name))
    sample = draw(tmp_path, classes=lite0.labels)
    accepted = dict(zip(sample.labels, map(np.flatnonzero, sample.accepted), strict=True))
    assert accepted["cat"].tolist() == list(range(281, 288))
    assert accepted["goldfish"].tolist() == [1]
    (skipped,) = sample.skipped
    assert "the network has no class 'unknown'" in skipped.reason


@pytest.fixture
def new(new_photos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(new_photos, tmp_path / "new"))
