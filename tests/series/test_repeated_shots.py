import numpy as np
import pytest

from headstart.images.alignment import SIDE
from headstart.series.neighbors import Space
from headstart.series.repeated_shots import find_repeated_shots
from headstart.types import Labels

PIECES = 30


def surfaces(shots: int, seed: int = 0) -> np.ndarray:
    """Thumbnails of random surfaces, several of each, shifted and in another light."""
    rng = np.random.default_rng(seed)
    whole = np.kron(rng.integers(60, 200, (PIECES, 12, 12)), np.ones((3, 3)))
    found = []
    for piece in whole:
        for _ in range(shots):
            top, left = rng.integers(0, 4, 2)
            part = piece[top : top + SIDE, left : left + SIDE]
            found.append(rng.uniform(0.85, 1.15) * part + rng.normal(0, 3, part.shape))
    return np.clip(found, 0, 255).astype(np.uint8)


def space(pieces: Labels, nearer: float) -> Space:
    """Features by chance, in which photos of one piece may be a little nearer."""
    rng = np.random.default_rng(1)
    own = rng.normal(size=(int(pieces.max()) + 1, 64))[pieces]
    return Space.of([(nearer * own + rng.normal(size=own.shape)).astype(np.float32)])


class Reader:
    """Counts the images that are read."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.read = images, 0

    def __call__(self, rows: Labels) -> np.ndarray:
        self.read += len(rows)
        return self.images[rows]


@pytest.fixture
def pieces() -> Labels:
    return np.repeat(np.arange(PIECES), 3)


def test_photos_of_one_piece_are_found(pieces: Labels):
    count = len(pieces)
    reader = Reader(surfaces(3))
    pairs = find_repeated_shots(space(pieces, 1.0), np.arange(count), pieces % 2, reader)
    assert (pieces[pairs[:, 0]] == pieces[pairs[:, 1]]).all()
    assert set(pairs.ravel().tolist()) == set(range(count))


def test_of_independent_photos_only_the_nearest_are_read(pieces: Labels):
    count = len(pieces)
    images = np.concatenate([surfaces(1, seed) for seed in range(3)])
    reader = Reader(images)
    pairs = find_repeated_shots(space(pieces, 0.0), np.arange(count), pieces % 2, reader)
    assert pairs.shape == (0, 2)
    assert reader.read <= 60


def test_nothing_is_read_if_every_image_is_in_a_series(pieces: Labels):
    reader = Reader(surfaces(3))
    first = 3 * pieces
    assert find_repeated_shots(space(pieces, 1.0), first, pieces % 2, reader).shape == (0, 2)
    assert reader.read == 0


def test_a_few_repeated_pieces_among_many_are_found():
    pieces = np.concatenate([np.repeat(np.arange(3), 3), np.arange(3, PIECES)])
    first = np.unique(np.repeat(np.arange(PIECES), 3), return_index=True)[1]
    rows = np.concatenate([np.arange(9), first[3:]])
    reader = Reader(surfaces(3)[rows])
    pairs = find_repeated_shots(space(pieces, 1.0), np.arange(len(rows)), pieces % 2, reader)
    assert set(pairs.ravel().tolist()) == set(range(9))
    assert (pieces[pairs[:, 0]] == pieces[pairs[:, 1]]).all()
