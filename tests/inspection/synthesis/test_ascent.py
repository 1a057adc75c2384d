"""A network that likes red on the left: what it wants is known without any ascent."""

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.inspection.image_tensor import to_array
from headstart.inspection.synthesis.ascent import (
    AscentResult,
    AscentSettings,
    Level,
    StopCriterion,
    ascend,
)
from headstart.inspection.synthesis.objective import log_odds, probability, total_variation
from headstart.inspection.synthesis.parameterization import PlainPixels, Spectrum
from headstart.inspection.synthesis.transforms import TransformRanges

pytestmark = pytest.mark.slow

SIDE = 16
VIEWS = TransformRanges(shift=0.1, turn=5)


def logits(pixels: Tensor) -> Tensor:
    """Two classes: red on the left, blue on the right."""
    left, right = pixels[..., : SIDE // 2].mean((2, 3)), pixels[..., SIDE // 2 :].mean((2, 3))
    return 12 * torch.stack([left[:, 0] - right[:, 0], right[:, 2] - left[:, 2]], dim=1)


def run(
    kind=PlainPixels, *, settings: AscentSettings, least: float | None = None, **more
) -> AscentResult:
    goal = None if least is None else StopCriterion(probability(logits, [0]), least)
    return ascend(
        kind.noise(SIDE, torch.Generator().manual_seed(3)),
        log_odds(logits, [0]),
        settings,
        prepare=more.pop("prepare", lambda pixels: pixels),
        side=SIDE,
        goal=goal,
        **{"seed": 0, **more},
    )


def said(pixels: np.ndarray) -> float:
    """Of the first class, for a picture of 8 bits."""
    read = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
    return float(probability(logits, [0])(read))


@pytest.mark.parametrize("kind", [PlainPixels, Spectrum])
@pytest.mark.parametrize(
    "levels",
    [
        (),
        (Level(views=VIEWS),),
        (Level(views=VIEWS, until=0.5, resolution=0.5), Level(views=VIEWS)),
    ],
)
def test_it_raises_the_objective(kind, levels):
    done = run(kind, settings=AscentSettings(steps=60, rate=0.3, levels=levels))
    assert said(done.pixels) > 0.95
    assert done.pixels.shape == (SIDE, SIDE, 3)
    assert done.pixels.dtype == np.uint8
    assert (done.steps, done.frames) == (60, ())


def test_the_same_seed_gives_the_same_picture():
    settings = AscentSettings(
        steps=5, rate=0.3, levels=(Level(views=TransformRanges(scale=(0.5, 1.0), flip=True)),)
    )
    first, same, other = (run(settings=settings, seed=seed).pixels for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_it_goes_on_until_the_picture_of_8_bits_is_good_enough():
    settings = AscentSettings(steps=2, rate=0.05, further=500, levels=(Level(views=VIEWS),))
    short = run(settings=settings)
    done = run(settings=settings, least=0.9)
    assert said(short.pixels) < 0.9 <= said(done.pixels)
    assert 2 < done.steps < 502
    again = run(settings=AscentSettings(steps=200, rate=0.3), least=0.9)
    assert again.steps == 200, "a goal that is reached costs nothing"


def test_what_cannot_be_reached_ends_with_the_best():
    done = run(settings=AscentSettings(steps=3, rate=0.3, further=7), least=2.0)
    assert done.steps == 10
    assert said(done.pixels) > said(run(settings=AscentSettings(steps=3, rate=0.3)).pixels)


def test_the_goal_is_measured_as_the_network_will_see_it():
    seen = []

    def prepare(pixels: Tensor) -> Tensor:
        seen.append(pixels.detach().clone())
        return pixels.flip(3)  # the network sees the mirror image

    done = run(settings=AscentSettings(steps=60, rate=0.3), least=0.9, prepare=prepare)
    assert said(done.pixels[:, ::-1].copy()) > 0.9
    levels = torch.cat(seen) * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_total_variation_smooths():
    plain, smooth = (
        run(settings=AscentSettings(steps=60, rate=0.3, tv=tv)).pixels for tv in (0.0, 20.0)
    )

    def variation(pixels: np.ndarray) -> float:
        return float(total_variation(torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255))

    assert variation(smooth) < 0.8 * variation(plain)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_frames_are_the_way_there(frames: int):
    done = run(settings=AscentSettings(steps=12, rate=0.3), frames=frames)
    assert len(done.frames) == frames
    assert np.array_equal(done.frames[-1], done.pixels)
    rising = [said(one) for one in done.frames]
    assert rising == sorted(rising)
    if frames > 1:
        assert rising[0] == pytest.approx(0.5, abs=0.05), "the first is the noise"


def test_progress_counts_the_planned_steps():
    told = []
    run(settings=AscentSettings(steps=3, rate=0.1), progress=lambda *both: told.append(both))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_levels_follow_each_other_from_coarse_to_fine():
    sides = []

    class Watched(PlainPixels):
        def pixels(self, side: int | None = None) -> Tensor:
            sides.append(side)
            return super().pixels(side)

    coarse = Level(views=VIEWS, until=0.5, resolution=0.25)
    run(Watched, settings=AscentSettings(steps=4, rate=0.1, levels=(coarse, Level(views=VIEWS))))
    assert sides == [4, 4, None, None, None], "and the finished image"


def test_the_object_and_the_frames_so_far_move_to_the_middle():
    def objective(pixels: Tensor) -> Tensor:
        return pixels[..., 3:5, 11:13].mean((1, 2, 3))

    still = (Level(views=TransformRanges()),)
    settings = AscentSettings(steps=3, rate=1e-6, levels=still, center_at=0.5)
    noise = Spectrum.noise(SIDE, torch.Generator().manual_seed(0))
    before = to_array(noise.pixels().detach())[0]
    done = ascend(
        noise, objective, settings, prepare=lambda pixels: pixels, side=SIDE, seed=0, frames=2
    )
    expected = np.roll(before, (4, -4), (0, 1))
    for image in done.frames:
        np.testing.assert_allclose(image.astype(int), expected, atol=1)
