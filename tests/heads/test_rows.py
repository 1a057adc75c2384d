"""Rows are put together as NumPy would."""

import numpy as np
import pytest

from headstart.heads import rows as module
from headstart.heads.rows import Rows

RNG = np.random.default_rng(0)
LEFT, RIGHT = (RNG.normal(size=(9, width)).astype(np.float32) for width in (2, 3))
CHOSEN = np.array([8, 0, 0, 5, 3, 7, 1])


def test_pieces_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 3)
    rows = Rows((LEFT, RIGHT), CHOSEN)
    expected = np.hstack([LEFT, RIGHT])[CHOSEN]
    np.testing.assert_array_equal(rows.whole(), expected)
    pieces = [rows.at(span) for span in rows.spans()]
    assert [len(piece) for piece in pieces] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    assert (len(rows), rows.widths, rows.nbytes) == (7, [2, 3], expected.nbytes)


def test_picks_among_the_chosen() -> None:
    picked = Rows((LEFT,), CHOSEN).picked(np.array([6, 1]))
    np.testing.assert_array_equal(picked.whole(), LEFT[[1, 0]])


def test_a_single_part_is_copied() -> None:
    rows = Rows((LEFT,), np.arange(9))
    assert not np.shares_memory(rows.whole(), LEFT)
