"""The data say which changes of a picture leave its class alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.engines import build_engine
from headstart.finetuning import invariance
from headstart.finetuning.invariance import InvarianceTest, borne
from headstart.finetuning.settings import TuningSettings
from headstart.types import Floats
from tests.finetuning.networks import EAGER, PREPROCESSING, SIDE, small_backbone

pytestmark = pytest.mark.slow


class Looking:
    """An engine whose only stage is the brightness of both halves, left and right."""

    def __init__(self) -> None:
        self.inner = build_engine(small_backbone(), EAGER)
        self.plan, self.batch = self.inner.plan, 4

    def stream(self, batches):
        for pixels in batches:
            halves = [pixels[:, :, : SIDE // 2], pixels[:, :, SIDE // 2 :]]
            yield [np.stack([half.mean((1, 2, 3)) for half in halves], axis=1)]


def pictures(folder: Path, sided: bool) -> tuple[list[Path], np.ndarray]:
    """Bright on the left or on the right, or else bright or dark all over."""
    folder.mkdir()
    paths, labels = [], np.arange(12) % 2
    for place, label in enumerate(labels):
        pixels = np.full((40, 40, 3), 20 + place, np.uint8)
        if sided:
            half = slice(20, 40) if label else slice(0, 20)
            pixels[:, half] = 200
        elif label:
            pixels[:] = 200 + place
        paths.append(folder / f"{place}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths, labels


def right_minus_left(outputs: list[Floats]) -> Floats:
    (brightness,) = outputs
    return brightness


def overall(outputs: list[Floats]) -> Floats:
    (brightness,) = outputs
    return np.stack([np.full(len(brightness), 120.0), brightness.mean(1)], axis=1)


def asked(
    folder: Path,
    *,
    sided: bool,
    settings: TuningSettings = TuningSettings(),  # noqa: B008
) -> InvarianceTest:
    paths, labels = pictures(folder, sided)
    return borne(
        paths,
        labels,
        engine=Looking(),
        logits=right_minus_left if sided else overall,
        preprocessing=PREPROCESSING,
        settings=settings,
    )


def test_where_the_side_is_the_class_nothing_is_mirrored(tmp_path: Path):
    found = asked(tmp_path / "x", sided=True)
    assert found.accuracy == 1
    assert found.under["flip"] == 0
    assert found.under["upside_down"] == 1
    assert not found.augmentation.flip
    assert found.augmentation.upside_down


def test_where_it_is_not_all_is_borne(tmp_path: Path):
    found = asked(tmp_path / "x", sided=False)
    assert found.images == 12
    assert set(found.under.values()) == {1.0}
    assert found.augmentation.flip
    assert found.augmentation.upside_down
    assert found.augmentation.scale == (min(invariance.SHARES), 1.0)


def test_what_is_said_is_not_asked(tmp_path: Path):
    said = TuningSettings(flip=True, upside_down=False, crop=0.6, color=0.4)
    found = asked(tmp_path / "x", sided=True, settings=said).augmentation
    assert (found.flip, found.upside_down) == (True, False)
    assert (found.scale, found.color) == ((0.6, 1.0), 0.4)


def test_no_crop_is_taken_that_costs_the_class(tmp_path: Path):
    paths, labels = pictures(tmp_path / "x", sided=True)

    def plain_alone(outputs: list[Floats]) -> Floats:
        # Sure of its class only where both halves are seen whole.
        (brightness,) = outputs
        whole = np.abs(brightness[:, 0] - brightness[:, 1]) > 165
        return np.where(whole[:, None], brightness, brightness[:, ::-1])

    found = borne(
        paths,
        labels,
        engine=Looking(),
        logits=plain_alone,
        preprocessing=PREPROCESSING,
        settings=TuningSettings(),
    )
    assert found.accuracy == 1
    kept = found.augmentation.scale[0]
    refused = [share for share in invariance.SHARES if share < kept]
    assert refused
    assert all(found.under[f"crop {share}"] < 0.95 for share in refused)


def test_of_many_images_some_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(invariance, "SAMPLE", 5)
    assert asked(tmp_path / "x", sided=False).images == 5


def test_the_same_seed_says_the_same(tmp_path: Path):
    one, two = (asked(tmp_path / name, sided=True) for name in "ab")
    assert one == two
    other = asked(tmp_path / "c", sided=True, settings=replace(TuningSettings(), seed=1))
    assert other.under["flip"] == one.under["flip"]
