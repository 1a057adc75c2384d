import numpy as np
import pytest

from headstart.images.alignment import similarity
from headstart.series import near_copies
from headstart.series.near_copies import SIMILAR, find_copies, thresholds
from tests.series.made_up import COUNT, labels, scene, scenes_and_copies, thumbnails


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    return scenes_and_copies()


def test_copies_are_found_and_nothing_else(small: np.ndarray):
    pairs, found = find_copies(small, labels(len(small)), seed=0)
    assert {tuple(pair) for pair in pairs.tolist()} == {(k, COUNT + k) for k in range(5)}
    assert (found >= SIMILAR).all()


def test_similarities_are_those_of_the_pairs(small: np.ndarray):
    for (a, b), found in zip(*find_copies(small, labels(len(small)), seed=0), strict=True):
        expected = similarity(small[a].astype(np.float32), small[b].astype(np.float32))
        assert found == pytest.approx(expected, abs=1e-5)


def test_blocks_make_no_difference(small: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    whole = find_copies(small, labels(len(small)), seed=0)
    monkeypatch.setattr(near_copies, "_BLOCK", 7)
    monkeypatch.setattr(near_copies, "_MEMORY", 200)
    pairs, found = find_copies(small, labels(len(small)), seed=0)
    np.testing.assert_array_equal(pairs, whole[0])
    np.testing.assert_allclose(found, whole[1], atol=1e-5)


def test_a_uniform_class_has_a_higher_threshold(small: np.ndarray):
    rng = np.random.default_rng(0)
    base = thumbnails([scene(999)])[0].astype(float)
    alike = [
        (base + rng.normal(0, 25, base.shape)).clip(0, 255).astype(np.uint8) for _ in range(40)
    ]
    both = np.concatenate([small[:COUNT], alike])
    limits = thresholds(both, np.repeat([0, 1], 40), seed=0)
    assert limits[0] < limits[1] < 1
    pairs, _ = find_copies(both, np.repeat([0, 1], 40), seed=0)
    assert len(pairs) <= 2


def test_small_uniform_classes_have_a_higher_threshold_together(small: np.ndarray):
    rng = np.random.default_rng(0)
    kinds = np.arange(COUNT) // 8
    alike = small[kinds] + rng.normal(0, 25, (COUNT, *small.shape[1:]))
    uniform = alike.clip(0, 255).astype(np.uint8)
    assert len(find_copies(uniform, labels(COUNT), seed=0)[0]) > COUNT
    assert find_copies(uniform, kinds, seed=0)[0].shape == (0, 2)
    pairs, _ = find_copies(small, np.arange(len(small)) % COUNT % 8, seed=0)
    assert {tuple(pair) for pair in pairs.tolist()} == {(k, COUNT + k) for k in range(5)}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(small: np.ndarray, count: int):
    pairs, found = find_copies(small[:count], labels(count), seed=0)
    assert pairs.shape == (0, 2)
    assert found.shape == (0,)
