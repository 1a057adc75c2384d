from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.series.series import Series, find_series, given_series, is_blank
from headstart.series.union_find import UnionFind
from tests.properties import examples
from tests.series.made_up import scene

names = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), max_size=30)


@examples(100)
@given(names)
def test_given_groups_are_the_equal_names(found):
    series = given_series(found, source="column:site")
    for row, group in enumerate(series.groups):
        assert group == (found.index(found[row]) if found[row] else row)
    assert bool(series) == any(name and found.count(name) > 1 for name in found)


@examples(100)
@given(names)
def test_images_of_a_group_share_the_lowest_digest(found):
    digests = [f"{(7 * row) % 31:02}" for row in range(len(found))]
    keys = given_series(found, source="").keys(digests)
    for row, name in enumerate(found):
        members = [d for d, other in zip(digests, found, strict=True) if other == name]
        assert keys[row] == (min(members) if name else digests[row])


@examples(100)
@given(names, st.randoms(use_true_random=False))
def test_a_subset_keeps_its_groups(found, random):
    rows = np.array([row for row in range(len(found)) if random.random() < 0.5], dtype=np.int64)
    part = given_series(found, source="").subset(rows)
    alone = given_series([found[row] for row in rows], source="")
    assert part.groups.tolist() == alone.groups.tolist()


def test_the_summary_names_the_largest_series():
    paths = [Path(f"folder/{number}.jpg") for number in range(7)]
    series = given_series(["a", "b", "b", "", "a", "b", "c"], source="column:site")
    summary = series.summary(paths)
    assert summary is not None
    assert (summary.source, summary.count, summary.images) == ("column:site", 2, 5)
    assert summary.largest == 3
    assert summary.examples == (("1.jpg", "2.jpg", "5.jpg"), ("0.jpg", "4.jpg"))
    assert Series(source="found", groups=np.arange(7)).summary(paths) is None


def test_repeated_shots_are_seen_in_the_files_though_one_is_gone(tmp_path):
    paths = [tmp_path / f"{row}.png" for row in range(60)]
    for row, path in enumerate(paths):
        scene(row // 3).save(path, compress_level=row % 3)
    paths[7].unlink()
    rng = np.random.default_rng(0)
    own = rng.normal(size=(20, 64))[np.arange(60) // 3]
    values = {
        f"stage {depth}": (own + rng.normal(size=own.shape)).astype(np.float32)
        for depth in range(5)
    }
    groups = find_series(values, np.arange(60) // 3 % 2, paths).groups
    assert [groups[row] for row in range(60) if row != 7] == [
        row // 3 * 3 for row in range(60) if row != 7
    ]
    assert groups[7] == 7


def test_blank_pictures_have_no_contrast(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (80, 90, 3), dtype=np.uint8))
    sea = Image.fromarray(rng.integers(60, 64, (80, 90, 3), dtype=np.uint8))
    for name, image in (("noise.png", noise.resize((20, 20))), ("sea.png", sea)):
        image.save(tmp_path / name)
    assert not is_blank(tmp_path / "noise.png")
    assert is_blank(tmp_path / "sea.png")
    assert is_blank(tmp_path / "missing.png")


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_groups_are_the_connected_components(pairs):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    forest = UnionFind(10)
    forest.link(pairs)
    groups = forest.groups()
    ends = np.array(pairs, dtype=int).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(10, 10))
    _, expected = connected_components(graph, directed=False)
    assert ((groups[:, None] == groups[None]) == (expected[:, None] == expected[None])).all()
    assert all(group == np.flatnonzero(groups == group).min() for group in groups)
