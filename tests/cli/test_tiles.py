"""Models that see images in tiles: what they mark, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Cli, one_sentence

pytestmark = pytest.mark.slow

SPOT = 12


def write(folder: Path, count: int, seed: int, size: tuple[int, int]) -> dict[Path, tuple]:
    """Write surfaces, half of them with a spot; return the corners of the spots."""
    rng, found = np.random.default_rng(seed), {}
    for label in ("good", "spot"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(100, 130, (size[1], size[0], 3)).astype(np.uint8)
            if label == "spot":
                left, top = (int(rng.integers(side - SPOT)) for side in size)
                pixels[top : top + SPOT, left : left + SPOT] = (240, 20, 20)
            path = folder / label / f"{label}{number}.png"
            Image.fromarray(pixels).save(path)
            found[path] = (left, top) if label == "spot" else ()
    return found


def test_places_are_marked(cli: Cli, tmp_path: Path):
    write(tmp_path / "data", 12, 0, (150, 110))
    model = tmp_path / "model"
    views = ("--views", "efficientnet-lite0@64-tiles")
    said = cli("fit", tmp_path / "data", *views, "--out", model, "--json").document
    assert said["members"][0]["view"] == "efficientnet-lite0@64-tiles"
    assert said["accuracy"] > 0.9
    new = write(tmp_path / "new", 3, 1, (150, 110))
    where = tmp_path / "where"
    found = cli("predict", model, tmp_path / "new", "--where", where, "--json").document
    for one in found["predictions"]:
        corner = new[Path(one["image"])]
        assert one["label"] == ("spot" if corner else "good")
        assert (where / f"{Path(one['image']).stem}.jpg").is_file() == bool(one["where"])
        for place in one["where"][:1] if corner else []:
            left, top, right, bottom = place["box"]
            assert left < corner[0] + SPOT
            assert corner[0] < right
            assert top < corner[1] + SPOT
            assert corner[1] < bottom
    assert all(one["where"] for one in found["predictions"] if new[Path(one["image"])])
    text = cli("predict", model, tmp_path / "new", "--where", where)
    assert "where" in text.out.splitlines()[0]
    outcome = cli("predict", model, tmp_path / "new", "--where", tmp_path / "new")
    assert (outcome.code, one_sentence(outcome)) == (2, True)

    spot = next(path for path, corner in new.items() if corner)
    told = cli("explain", model, spot, "--out", tmp_path / "why", "--json").document["images"]
    assert told[0]["where"] == next(
        one["where"] for one in found["predictions"] if one["image"] == str(spot)
    )
    assert Path(told[0]["marked"]).is_file()
    refused = [
        ("explain", model, spot, "--method", "occlusion", "--out", tmp_path / "why"),
        ("attack", spot, "--model", model, "--to", "good", "--out", tmp_path / "attack.png"),
    ]
    for arguments in refused:
        outcome = cli(*arguments)
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert "tiles" in outcome.err


def test_fast_says_what_large_images_need(cli: Cli, tmp_path: Path):
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(5):
            noise = rng.integers(0, 256, (70, 80, 3)).astype(np.uint8)
            image = Image.fromarray(noise).resize((800, 700))
            image.save(tmp_path / "data" / label / f"{number}.jpg")
    outcome = cli("fit", tmp_path / "data", "--out", tmp_path / "model")
    assert "800 x 700 pixels, and the network sees 224 x 224" in outcome.err
    assert "try --quality best" in outcome.err


def test_models_without_tiles_cannot_mark(cli: Cli, model: Path, new: Path, tmp_path: Path):
    outcome = cli("predict", model, new, "--where", tmp_path / "where")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "efficientnet-lite0@tiles" in outcome.err
    assert not (tmp_path / "where").exists()


def test_views_of_one_size_keep_their_own_outputs(cli: Cli, tmp_path: Path):
    write(tmp_path / "data", 6, 0, (150, 110))
    views = ("efficientnet-lite0@64", "efficientnet-lite0@64-tiles")
    fitted = cli("fit", tmp_path / "data", "--views", ",".join(views), "--out", tmp_path / "m")
    assert fitted.code == 0, fitted.err
