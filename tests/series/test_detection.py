"""Series among generated features, whose truth is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.series.detection import find_groups
from tests.properties import examples

STAGES = ("early", "middle", "late", "last")
WIDTH = 96


def photos(rng, classes, scenes, per_scene, *, spread=0.1, separation=0.5):
    """Features of photos: class mean + scene + a small change, the same in every stage."""
    labels = np.repeat(np.arange(classes), scenes * per_scene)
    scene = np.repeat(np.arange(classes * scenes), per_scene)
    values = {}
    for stage in STAGES:
        means = separation * rng.normal(size=(classes, WIDTH))
        scenes_at = rng.normal(size=(classes * scenes, WIDTH))
        changes = spread * rng.normal(size=(len(labels), WIDTH))
        values[stage] = (means[labels] + scenes_at[scene] + changes).astype(np.float32)
    return values, labels, scene


def never_blank(row):
    return False


def same(groups):
    return groups[:, None] == groups[None]


@pytest.mark.parametrize("per_scene", [2, 4, 7])
def test_finds_the_scenes(per_scene):
    values, labels, scene = photos(np.random.default_rng(0), 4, 10, per_scene)
    groups = find_groups(values, labels, is_blank=never_blank)
    assert (same(groups) == same(scene)).all()


def test_finds_a_few_series_among_single_photos():
    rng = np.random.default_rng(1)
    values, labels, _ = photos(rng, 3, 60, 1)
    for stage in STAGES:
        values[stage][1:4] = values[stage][0] + 0.05 * rng.normal(size=(3, WIDTH))
    groups = find_groups(values, labels, is_blank=never_blank)
    assert groups[:4].tolist() == [0, 0, 0, 0]
    assert len(np.unique(groups)) == len(labels) - 3


def test_finds_copies_in_different_classes():
    rng = np.random.default_rng(2)
    values, labels, _ = photos(rng, 2, 40, 1)
    for stage in STAGES:
        values[stage][75] = values[stage][3] + 0.03 * rng.normal(size=WIDTH)
    groups = find_groups(values, labels, is_blank=never_blank)
    assert groups[75] == groups[3] == 3
    assert len(np.unique(groups)) == len(labels) - 1


@pytest.mark.parametrize("separation", [0.2, 1.0, 5.0])
def test_finds_nothing_among_independent_photos_however_far_apart_classes_are(separation):
    values, labels, _ = photos(np.random.default_rng(3), 5, 50, 1, separation=separation)
    groups = find_groups(values, labels, is_blank=never_blank)
    assert groups.tolist() == list(range(len(labels)))


def test_a_uniform_class_is_no_series():
    rng = np.random.default_rng(4)
    values, labels, _ = photos(rng, 5, 40, 1)
    uniform = labels == 2
    for stage in STAGES:
        values[stage][uniform] = 0.3 * values[stage][uniform] + 2
    groups = find_groups(values, labels, is_blank=never_blank)
    assert (groups[uniform] == np.flatnonzero(uniform)).mean() > 0.97


def test_blank_pictures_do_not_count():
    values, labels, scene = photos(np.random.default_rng(5), 3, 20, 3)
    groups = find_groups(values, labels, is_blank=lambda row: scene[row] == 7)
    assert groups[scene == 7].tolist() == np.flatnonzero(scene == 7).tolist()
    others = scene != 7
    assert (same(groups[others]) == same(scene[others])).all()


def test_evidence_accepts_less_clear_pairs():
    rng = np.random.default_rng(6)
    values, labels, _ = photos(rng, 3, 60, 1)
    chain = [0, 1, 2, 3, 4, 5]
    for stage in STAGES:  # each photo is near the one before, and drifts away from the first
        for one, other in pairwise(chain):
            values[stage][other] = values[stage][one] + 0.35 * rng.normal(size=WIDTH)
    asked = []

    def evidence(left, right):
        asked.extend(zip(left.tolist(), right.tolist(), strict=True))
        return np.ones(len(left), bool)

    groups = find_groups(values, labels, is_blank=never_blank, evidence=evidence)
    assert all(one in chain and other in chain for one, other in asked)
    assert (groups[6:] == np.arange(6, len(labels))).all()


def test_says_nothing_where_there_is_too_little_to_compare():
    rng = np.random.default_rng(7)
    narrow = {stage: rng.normal(size=(60, 3)).astype(np.float32) for stage in STAGES}
    one = {"last": rng.normal(size=(1, WIDTH)).astype(np.float32)}
    assert find_groups(narrow, np.repeat([0, 1], 30), is_blank=never_blank).tolist() == [*range(60)]
    assert find_groups(one, np.array([0]), is_blank=never_blank).tolist() == [0]
    assert find_groups({}, np.array([0, 1]), is_blank=never_blank).tolist() == [0, 1]
    constant = {stage: np.ones((60, WIDTH), np.float32) for stage in STAGES}
    find_groups(constant, np.repeat([0, 1], 30), is_blank=never_blank)


@pytest.mark.slow
@examples(20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_images_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    values, labels, _ = photos(rng, 3, 12, 2)
    order = rng.permutation(len(labels))
    groups = find_groups(values, labels, is_blank=never_blank)
    shuffled = find_groups(
        {stage: one[order] for stage, one in values.items()}, labels[order], is_blank=never_blank
    )
    assert (same(shuffled) == same(groups[order])).all()


def test_each_image_is_looked_at_once():
    values, labels, _ = photos(np.random.default_rng(0), 4, 10, 3)
    seen = []

    def is_blank(row):
        seen.append(row)
        return False

    find_groups(values, labels, is_blank=is_blank)
    assert len(seen) == len(set(seen)) > 0
