"""The loop: look, judge, improve, until the picture as it will be saved says what it should."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.inspection.synthesis.objective import Objective, total_variation
from headstart.inspection.synthesis.parameterization import Latent
from headstart.inspection.synthesis.transforms import TransformRanges
from headstart.types import Pixels

_WARM_UP = 10  # steps in which the rate grows, while Adam's averages settle
_LAST_RATE = 0.02  # share of the rate that is left in the end


@dataclass(frozen=True, slots=True, kw_only=True)
class AscentSettings:
    """How to climb.

    Attributes:
        steps: planned.
        rate: of Adam, at its highest.
        tv: weight of the total variation that is subtracted.
        views: points of view, one a step; None looks at the picture as it is.
        further: steps at most beyond the planned ones, while the goal is not reached.
    """

    steps: int
    rate: float
    tv: float = 0.0
    views: TransformRanges | None = None
    further: int = 60


@dataclass(frozen=True, slots=True)
class StopCriterion:
    """When a picture is good enough.

    Attributes:
        measure: what the picture as the network will see it is measured by.
        least: that it shall reach.
    """

    measure: Objective
    least: float


@dataclass(frozen=True, slots=True)
class AscentResult:
    """A finished picture.

    Attributes:
        pixels: (H, W, 3), exactly what was measured.
        steps: that were taken, the further ones included.
        frames: the way there, (H, W, 3) each, the last one as `pixels`; empty unless asked for.
    """

    pixels: Pixels
    steps: int
    frames: tuple[Pixels, ...]


def ascend(
    picture: Latent,
    objective: Objective,
    settings: AscentSettings,
    *,
    prepare: Callable[[Tensor], Tensor],
    side: int,
    seed: int,
    goal: StopCriterion | None = None,
    frames: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AscentResult:
    """Improve a picture by gradient ascent (Adam; the rate falls as a cosine).

    Args:
        picture: where to start; it is changed.
        objective: what to raise.
        settings: how to climb.
        prepare: differentiable, from (1, 3, H, W) in [0, 1] to what the network sees of a saved
            picture, (1, 3, side, side).
        side: of the network's input.
        seed: of the points of view.
        goal: for the picture in 8 bits, through `prepare`; checked after the planned steps.
        frames: pictures to keep of the way, the first and the last among them.
        progress: told of (done, planned).
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([picture.parameters], lr=settings.rate)
    kept = {round(i * settings.steps / max(1, frames - 1)) for i in range(frames - 1)}
    way: list[Pixels] = []

    def improve(rate: float, *, plainly: bool) -> None:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        pixels = picture.pixels()
        seen = []
        if plainly:
            seen.append(prepare(_in_levels(pixels)))
        if settings.views is not None:
            seen.append(settings.views.draw(pixels, side, generator))
        value = objective(torch.cat(seen)).mean()
        if settings.tv:
            value = value - settings.tv * total_variation(pixels).sum()
        (-value).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    for step in range(settings.steps):
        if step in kept:
            way.append(_saved(picture))
        improve(_rate(settings, step), plainly=settings.views is None)
        if progress:
            progress(step + 1, settings.steps)
    taken = settings.steps
    best, best_value = _saved(picture), _measured(picture, goal, prepare)
    while goal and best_value < goal.least and taken < settings.steps + settings.further:
        improve(settings.rate / 5, plainly=True)
        taken += 1
        value = _measured(picture, goal, prepare)
        if value > best_value:
            best, best_value = _saved(picture), value
    return AscentResult(best, taken, (*way, best) if frames else ())


def _rate(settings: AscentSettings, step: int) -> float:
    warm = min(1.0, (step + 1) / _WARM_UP)
    falling = 0.5 + 0.5 * math.cos(math.pi * step / settings.steps)
    return settings.rate * warm * max(_LAST_RATE, falling)


@torch.no_grad()
def _measured(
    picture: Latent, goal: StopCriterion | None, prepare: Callable[[Tensor], Tensor]
) -> float:
    if goal is None:
        return 0.0
    return float(goal.measure(prepare(_in_levels(picture.pixels())))[0])


def _in_levels(pixels: Tensor) -> Tensor:
    """Rounded as a file holds them; the gradient passes as if they were not."""
    return pixels + ((pixels.detach() * 255).round() / 255 - pixels.detach())


@torch.no_grad()
def _saved(picture: Latent) -> Pixels:
    """(H, W, 3) uint8."""
    levels = (picture.pixels()[0] * 255).round().to(torch.uint8)
    array: Pixels = levels.permute(1, 2, 0).contiguous().cpu().numpy()
    return array
