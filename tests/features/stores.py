"""A small feature store with known contents, for the tests of stores and of the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.features.store import FeatureStore
from headstart.types import Floats

KEY = "5f" * 16
WIDTHS = {"stem": 3, "blocks.1": 7}


def digest(i: int) -> str:
    return hashlib.blake2b(i.to_bytes(8, "little"), digest_size=16).hexdigest()


def digests(items: Sequence[int]) -> list[str]:
    return [digest(i) for i in items]


def values(items: Sequence[int]) -> dict[str, Floats]:
    """What any process would compute for these images: (N, width) a stage."""
    base = np.array(items, np.float32).reshape(-1, 1)
    return {
        stage: (base * (k + 1) + np.arange(width, dtype=np.float32) / 8).astype(np.float32)
        for k, (stage, width) in enumerate(WIDTHS.items())
    }


def new_store(root: Path) -> FeatureStore:
    return FeatureStore(root, key=KEY, widths=WIDTHS)


def folder_of(root: Path) -> Path:
    return root / "features" / KEY


def segment_files(root: Path) -> list[Path]:
    return sorted(folder_of(root).glob("*.safetensors"))


def assert_holds(store: FeatureStore, items: Sequence[int]) -> None:
    assert store.contains(digests(items)).all()
    found = store.read(digests(items))
    for stage, expected in values(items).items():
        assert found[stage].dtype == np.float32
        np.testing.assert_array_equal(found[stage], expected)


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
