"""Gradient ascent on an image, until its saved form reaches a goal."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.inspection.image_tensor import straight_through, to_array
from headstart.inspection.synthesis.centering import offset_to_middle, window
from headstart.inspection.synthesis.objective import Objective, total_variation
from headstart.inspection.synthesis.parameterization import Latent
from headstart.inspection.synthesis.transforms import TransformRanges
from headstart.types import Pixels, ProgressCallback, no_progress

_WARM_UP = 10  # warm-up steps, while Adam's averages settle
_LAST_RATE = 0.02  # final share of the learning rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A part of the ascent.

    Attributes:
        views: random transforms.
        until: share of the steps after which the next level begins.
        resolution: side of the image during this level, relative to the network's input; by
            default, and at most, the whole image.
        window: whether pixels change less the farther they are from the middle.
    """

    views: TransformRanges
    until: float = 1.0
    resolution: float = math.inf
    window: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AscentSettings:
    """Settings of the ascent.

    Attributes:
        steps: planned number of steps.
        rate: highest learning rate of Adam.
        tv: weight of the total variation penalty.
        levels: parts of the ascent, from coarse to fine, with a random transform per step; without
            levels, the network is shown the image as it is.
        further: largest number of extra steps while the goal is not reached.
        center_at: share of the steps after which the image is rolled so that the object is in the
            middle; only with levels, None for never.
    """

    steps: int
    rate: float
    tv: float = 0.0
    levels: tuple[Level, ...] = ()
    further: int = 60
    center_at: float | None = None


@dataclass(frozen=True, slots=True)
class StopCriterion:
    """When an image is good enough.

    Attributes:
        measure: the objective for the saved image, as the network will see it.
        least: the value to reach.
    """

    measure: Objective
    least: float


@dataclass(frozen=True, slots=True)
class AscentResult:
    """A finished image.

    Attributes:
        pixels: (H, W, 3), exactly the image that was measured.
        steps: number of steps, including the extra ones.
        frames: intermediate images, (H, W, 3) each, the last one equal to `pixels`; empty unless
            requested.
    """

    pixels: Pixels
    steps: int
    frames: tuple[Pixels, ...]


def ascend(
    image: Latent,
    objective: Objective,
    settings: AscentSettings,
    *,
    prepare: Callable[[Tensor], Tensor],
    side: int,
    seed: int,
    goal: StopCriterion | None = None,
    frames: int = 0,
    progress: ProgressCallback = no_progress,
) -> AscentResult:
    """Improve an image by gradient ascent (Adam, cosine learning rate).

    Args:
        image: the image to start from; modified in place.
        objective: the function to maximize.
        settings: steps, learning rate, penalty and transforms.
        prepare: differentiable, (1, 3, H, W) in [0, 1] to the network's input for the saved image,
            (1, 3, side, side).
        side: side of the network's input in pixels.
        seed: random seed of the transforms.
        goal: stop criterion for the image in 8 bits, through `prepare`; checked after the planned
            steps.
        frames: number of intermediate images to keep, including the first and the last.
        progress: called with (done, planned) steps.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([image.parameters], lr=settings.rate)
    keep = {round(i * settings.steps / max(1, frames - 1)) for i in range(frames - 1)}
    kept: list[Pixels] = []
    offset = (0.0, 0.0)

    def rolled(side: int | None = None) -> Tensor:
        """Return the image, or the same one at another resolution, with its object in the middle.

        Only what is seen of the parameters moves, so Adam's averages remain true.
        """
        pixels = image.pixels(side)
        return pixels.roll(_shifts(offset, pixels.shape[2:]), (2, 3))

    def quantized(pixels: Tensor) -> Tensor:
        """Round to 8 bits as in a file."""
        return straight_through(pixels, (pixels * 255).round() / 255)

    def improve(rate: float, level: Level | None, *, untransformed: bool) -> None:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        pixels = rolled(_resolution(level, side))
        inputs = []
        if untransformed:
            inputs.append(prepare(quantized(pixels)))
        if level is not None:
            seen = window(pixels) if level.window else pixels
            inputs.append(level.views.sample(seen, side, generator))
        value = objective(torch.cat(inputs)).mean()
        if settings.tv:
            value = value - settings.tv * total_variation(pixels).sum()
        (-value).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    @torch.no_grad()
    def measure() -> float:
        return float(goal.measure(prepare(quantized(rolled())))[0]) if goal else 0.0

    def snapshot() -> Pixels:
        array: Pixels = to_array(rolled())[0]
        return array

    for step in range(settings.steps):
        if step in keep:
            kept.append(snapshot())
        level = next((one for one in settings.levels if step < one.until * settings.steps), None)
        if level and settings.center_at and step == round(settings.center_at * settings.steps):
            pixels = rolled(_resolution(level, side))
            offset = offset_to_middle(
                pixels, objective, level.views, side=side, generator=generator
            )
            # The frames so far, too: an animation does not jump.
            kept = [np.roll(one, _shifts(offset, one.shape[:2]), (0, 1)) for one in kept]
        improve(_rate(settings, step), level, untransformed=level is None)
        progress(step + 1, settings.steps)
    steps, whole = settings.steps, settings.levels[-1] if settings.levels else None
    best, best_value = snapshot(), measure()
    while goal and best_value < goal.least and steps < settings.steps + settings.further:
        improve(settings.rate / 5, whole, untransformed=True)
        steps += 1
        value = measure()
        if value > best_value:
            best, best_value = snapshot(), value
    return AscentResult(best, steps, (*kept, best) if frames else ())


def _shifts(offset: tuple[float, float], size: Sequence[int]) -> list[int]:
    """Return fractions of the height and of the width in pixels."""
    return [round(part * whole) for part, whole in zip(offset, size, strict=True)]


def _resolution(level: Level | None, side: int) -> int | None:
    """Return the side of the image during a level, None for the whole image."""
    limit = math.inf if level is None else level.resolution * side
    return None if math.isinf(limit) else max(1, round(limit))


def _rate(settings: AscentSettings, step: int) -> float:
    warm_up = min(1.0, (step + 1) / _WARM_UP)
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / settings.steps)
    return settings.rate * warm_up * max(_LAST_RATE, cosine)
