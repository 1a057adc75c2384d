"""What the audit is compared with, and the copies that it is to find."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.confident_learning import confident_joint, ranked
from benchmarks.near_copies import CHANGES, write_copies

from tests.auditing.made_up import write_scenes


def test_the_confident_joint_of_a_small_example():
    # Thresholds: mean of 0.9, 0.7, 0.2 = 0.6 for class 0, of 0.8, 0.6 = 0.7 for class 1.
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.2, 0.8], [0.4, 0.6]])
    y = np.array([0, 0, 0, 1, 1])
    counts, members = confident_joint(p, y)
    assert members.tolist() == [0, 0, 1, 1, -1]
    np.testing.assert_allclose(counts, [[2, 1], [0, 2]])


@pytest.mark.parametrize("prune", ["confident joint", "by class", "by noise rate"])
@pytest.mark.parametrize("rank", ["margin", "self-confidence"])
def test_a_flipped_label_is_ranked_first(prune: str, rank: str):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    p = rng.dirichlet([1, 1, 1], 60) * 0.3 + 0.7 * np.eye(3)[y]
    y[7] = (y[7] + 1) % 3
    order = ranked(p, y, prune=prune, rank=rank)
    assert order[0] == 7
    assert sorted(order) == list(range(60))


def test_copies_are_of_all_kinds_and_the_same_each_time(tmp_path: Path):
    originals = write_scenes(tmp_path / "originals", range(10))
    kinds = [write_copies(originals, tmp_path / name, seed=3) for name in ("a", "b")]
    assert kinds[0] == kinds[1]
    assert sorted(kinds[0]) == sorted([*CHANGES] * 2)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
