"""The data say which changes of a picture leave its class alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.engines import build_engine
from headstart.finetuning import invariance
from headstart.finetuning.invariance import (
    InvarianceTest,
    find_doubt,
    find_exchange,
    measure_invariance,
)
from headstart.finetuning.settings import TuningSettings
from headstart.heads.calibration import log_softmax
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
    return measure_invariance(
        paths,
        labels,
        ("left", "right"),
        engine=Looking(),
        logits=right_minus_left if sided else overall,
        preprocessing=PREPROCESSING,
        settings=settings,
    )


def test_where_the_side_is_the_class_nothing_is_mirrored(tmp_path: Path):
    found = asked(tmp_path / "x", sided=True)
    assert found.accuracy == 1
    assert found.accuracy_by_transform["flip"] == 0
    assert found.accuracy_by_transform["upside_down"] == 1
    assert not found.augmentation.flip
    assert found.augmentation.upside_down


def exchanged(counts: int, odds: float, seed: int = 0):
    """Log-probabilities of four classes, of which the last one moves towards the first."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), counts)
    plain = rng.normal(0, 0.3, (len(labels), 4))
    plain[np.arange(len(labels)), labels] += 4
    changed = plain + rng.normal(0, 0.1, plain.shape)
    changed[labels == 3, 0] += np.log(odds)
    plain, changed = (log_softmax(one, axis=1) for one in (plain, changed))
    assert (changed.argmax(1) == labels).all()  # accuracy tells nothing
    return find_exchange(labels, plain, changed, ("b", "o", "x", "d"))


@pytest.mark.parametrize("counts", [2, 5, 30])
def test_a_class_that_mirrors_into_another_is_found_though_no_answer_changes(counts: int):
    found = exchanged(counts, odds=20)
    assert found is not None
    assert (found.label, found.resembles) == ("d", "b")
    assert found.odds == pytest.approx(20, rel=0.3)


@pytest.mark.parametrize("counts", [1, 2, 30])
def test_small_changes_and_chance_are_no_exchange(counts: int):
    assert exchanged(counts, odds=2) is None
    assert exchanged(counts, odds=1) is None


@pytest.mark.parametrize(("spread", "doubted"), [(0.05, False), (1.5, True)])
def test_with_few_images_doubt_decides(spread: float, doubted: bool):
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(4), 2)
    plain = rng.normal(0, 0.3, (8, 4))
    plain[np.arange(8), labels] += 2
    changed = plain + rng.normal(0, spread, plain.shape)
    plain, changed = (log_softmax(one, axis=1) for one in (plain, changed))
    assert (find_doubt(labels, plain, changed, ("b", "o", "x", "d")) is not None) is doubted
    more = [np.tile(one, (13, 1)) for one in (plain, changed)]
    assert find_doubt(np.tile(labels, 13), more[0], more[1], ("b", "o", "x", "d")) is None


def test_a_changed_image_alone_is_no_class():
    labels, plain = np.repeat(np.arange(2), 20), np.zeros((40, 2))
    plain[np.arange(40), labels] = 3
    changed = plain.copy()
    changed[0] = [-4, 4]
    plain, changed = (log_softmax(one, axis=1) for one in (plain, changed))
    assert find_exchange(labels, plain, changed, ("cat", "dog")) is None


def test_where_it_is_not_all_augmentations_are_used(tmp_path: Path):
    found = asked(tmp_path / "x", sided=False)
    assert found.images == 12
    assert set(found.accuracy_by_transform.values()) == {1.0}
    assert found.augmentation.flip
    assert found.augmentation.upside_down
    assert found.augmentation.scale == (min(invariance.CROP_SCALES), 1.0)


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

    found = measure_invariance(
        paths,
        labels,
        ("left", "right"),
        engine=Looking(),
        logits=plain_alone,
        preprocessing=PREPROCESSING,
        settings=TuningSettings(),
    )
    assert found.accuracy == 1
    kept = found.augmentation.scale[0]
    refused = [share for share in invariance.CROP_SCALES if share < kept]
    assert refused
    assert all(found.accuracy_by_transform[f"crop {share}"] < 0.95 for share in refused)


def test_of_many_images_some_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(invariance, "MAX_IMAGES", 5)
    assert asked(tmp_path / "x", sided=False).images == 5


def test_the_same_seed_says_the_same(tmp_path: Path):
    one, two = (asked(tmp_path / name, sided=True) for name in "ab")
    assert one == two
    other = asked(tmp_path / "c", sided=True, settings=replace(TuningSettings(), seed=1))
    assert other.accuracy_by_transform["flip"] == one.accuracy_by_transform["flip"]
