"""Two files show the same image if their bytes or all of their pixels are equal."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.images import identity
from headstart.images.identity import image_identities
from headstart.images.preprocessing import Interpolation, Preprocessing, decode_and_prepare
from headstart.system.digests import bytes_digest

PREPROCESSING = Preprocessing(
    size=32, crop=32, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1)
)


def strip(seed: int) -> Image.Image:
    """A strip whose middle is the same for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (50, 600, 3), dtype=np.uint8)
    pixels[:, 200:400] = np.random.default_rng(99).integers(0, 256, (50, 200, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def sharp_detail(shift: int) -> Image.Image:
    """A JPEG that is the same for every shift when decoded at an eighth of its size."""
    blocks = np.random.default_rng(3).integers(60, 180, (64, 64), dtype=np.uint8)
    pixels = np.kron(blocks, np.ones((8, 8), np.uint8)).astype(np.int16)
    pattern = np.where(np.arange(8) % 2 == shift, 30, -30)
    return Image.fromarray((pixels + np.tile(pattern, 64)).astype(np.uint8))


def write(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def identities(paths: list[Path]) -> list[str]:
    contents = [path.read_bytes() for path in paths]
    views = [bytes_digest(decode_and_prepare(one, PREPROCESSING).tobytes()) for one in contents]
    return image_identities(paths, [bytes_digest(one) for one in contents], views)


def test_images_that_differ_outside_the_crop_are_different(tmp_path: Path):
    paths = [write(tmp_path / f"{seed}.png", strip(seed)) for seed in range(4)]
    views = {decode_and_prepare(path, PREPROCESSING).tobytes() for path in paths}
    assert len(views) == 1  # or the test says nothing
    assert len(set(identities(paths))) == 4


def test_images_that_differ_below_the_decoded_scale_are_different(tmp_path: Path):
    paths = [write(tmp_path / f"{n}.jpg", sharp_detail(n), quality=95) for n in range(2)]
    views = {decode_and_prepare(path, PREPROCESSING).tobytes() for path in paths}
    assert len(views) == 1
    assert len(set(identities(paths))) == 2


def test_copies_with_other_bytes_are_the_same(tmp_path: Path):
    paths = [
        write(tmp_path / "a.png", strip(0)),
        write(tmp_path / "b.bmp", strip(0)),
        write(tmp_path / "c.png", strip(1)),
        write(tmp_path / "d.png", strip(1), compress_level=1),
        write(tmp_path / "e.png", strip(0)),
        write(tmp_path / "f.jpg", sharp_detail(0), quality=95),
        write(tmp_path / "g.jpg", sharp_detail(0), quality=95, comment=b"another"),
    ]
    a, b, c, d, e, f, g = identities(paths)
    assert a == b == e
    assert c == d
    assert f == g
    assert len({a, c, f}) == 3


def test_the_shape_counts(tmp_path: Path):
    flat = [Image.new("RGB", size, (9, 9, 9)) for size in ((64, 32), (32, 64), (64, 32))]
    paths = [write(tmp_path / f"{n}.png", one, compress_level=n) for n, one in enumerate(flat)]
    first, second, third = identities(paths)
    assert first == third != second


def test_only_what_looks_alike_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = []

    def decode(content: bytes) -> Image.Image:
        decoded.append(content)
        return Image.open(io.BytesIO(content))

    monkeypatch.setattr(identity, "decode", decode)
    paths = [write(tmp_path / f"{name}.png", strip(0)) for name in "ab"]  # equal bytes
    paths += [write(tmp_path / "c.jpg", sharp_detail(0))]
    identities(paths)
    assert decoded == []
    paths.append(write(tmp_path / "d.png", strip(1)))
    identities(paths)
    assert sorted(decoded) == sorted(paths[place].read_bytes() for place in (0, 3))


def test_a_file_that_has_vanished_is_like_no_other(tmp_path: Path):
    paths = [tmp_path / "a.png", write(tmp_path / "b.png", strip(0)), tmp_path / "c.png"]
    first, second, third = image_identities(paths, ["1" * 32, "2" * 32, "1" * 32], ["v"] * 3)
    assert first == third != second
