"""A network's ideal pictures of classes and channels, believed only after they were read back.

Each picture is made, saved as an 8-bit PNG and read by the ordinary prediction path; what that says
is what is reported.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from headstart.backbones.imagenet_names import find_class
from headstart.backbones.staged import on_grid
from headstart.errors import UserError
from headstart.images.decode import open_image
from headstart.images.differentiable_resize import DifferentiableResize
from headstart.inspection.feature_maps import check_stages
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.synthesis import (
    AscentSettings,
    Latent,
    Objective,
    Phases,
    PlainPixels,
    StopCriterion,
    TransformRanges,
    activation,
    ascend,
    log_likelihood,
    log_odds,
    probability,
)
from headstart.system.files import atomic_write, check_not_input
from headstart.types import Pixels

WANTED = 0.95
"""Probability that a finished picture of a class shall have when it is read back."""
_AIM = 0.98  # in float32, so that it is still `WANTED` in the bfloat16 of the engine
_FRAME = 80  # milliseconds
_LAST_FRAME = 1500


@dataclass(frozen=True, slots=True)
class SynthesisRecipe:
    """A way to make pictures.

    Attributes:
        latent: what they are made of.
        loss: what is raised for a class, given logits and its index.
        settings: of the ascent.
    """

    latent: type[Phases] | type[PlainPixels]
    loss: Callable[[Objective, int], Objective]
    settings: AscentSettings

    def changed(self, *, steps: int | None, tv: float | None) -> SynthesisRecipe:
        """The same with other steps or another weight of the total variation, where given.

        Few steps are meant: never more than as many again are added to reach the goal.
        """
        settings = self.settings
        if steps is not None:
            settings = replace(settings, steps=steps, further=min(settings.further, steps))
        if tv is not None:
            settings = replace(settings, tv=tv)
        return replace(self, settings=settings)


BEST = SynthesisRecipe(
    Phases,
    log_odds,
    AscentSettings(
        steps=250,
        rate=0.5,
        views=TransformRanges(scale=(0.4, 1.1), turn=10, shift=0.05, flip=True),
    ),
)
"""Fixed magnitudes, decorrelated colors, changing points of view: measured in
docs/ideal-pictures.md."""
LESSON = SynthesisRecipe(PlainPixels, log_likelihood, AscentSettings(steps=100, rate=0.1, tv=10.0))
"""As it is taught: plain pixels, cross-entropy and total variation."""


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """A class of the network.

    Attributes:
        name: as the network calls it.
        index: of its logit.
    """

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class UnitTarget:
    """A channel of a stage, or one unit of it.

    Attributes:
        stage: its name.
        channel: from 0.
        at: row and column of the unit, from 0; None means the channel's mean.
    """

    stage: str
    channel: int
    at: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """For people."""
        place = "" if self.at is None else f" at {self.at[0]},{self.at[1]}"
        return f"{self.stage} channel {self.channel}{place}"


Target = ClassTarget | UnitTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealImage:
    """A picture that was saved and read back.

    Attributes:
        target: what it shall show.
        seed: of the noise that it began as and of the points of view.
        path: the PNG.
        animation: the WebP of the way there; None where it was not asked for.
        label: the most probable class of the saved file.
        probability: of the class asked for; of `label` where that was a channel.
        steps: that were taken.
        seconds: wall-clock time.
        pixels: (H, W, 3), the picture.
    """

    target: Target
    seed: int
    path: Path
    animation: Path | None
    label: str
    probability: float
    steps: int
    seconds: float
    pixels: Pixels


def class_target(study: InspectedNetwork, name: str) -> ClassTarget:
    """A class by its name.

    Raises:
        DataError: none is called so; the message names similar ones.
    """
    classes = study.subject.classes
    index = find_class(name, classes)
    return ClassTarget(classes[index], index)


def unit_target(
    study: InspectedNetwork, stage: str, channel: int, at: tuple[int, int] | None = None
) -> UnitTarget:
    """A channel, or a unit, that the network has.

    Raises:
        BackboneError: there is no such stage.
        UserError: there is no such channel, or no such place in it.
    """
    subject, side = study.subject, study.subject.preprocessing.crop
    check_stages(subject.name, subject.network.stages, [stage])
    with torch.no_grad():
        blank = torch.zeros(1, 3, side, side, device=subject.device)
        channels, height, width = on_grid(subject.network.activations(blank)[stage]).shape[1:]
    if not 0 <= channel < channels:
        raise UserError(
            f"stage {stage} has no channel {channel}; its channels are 0 to {channels - 1}"
        )
    if at is not None and not (0 <= at[0] < height and 0 <= at[1] < width):
        raise UserError(
            f"stage {stage} has no unit at {at[0]},{at[1]}; its rows are 0 to {height - 1}, its "
            f"columns 0 to {width - 1}"
        )
    return UnitTarget(stage, channel, at)


def imagine(
    study: InspectedNetwork,
    targets: Sequence[Target],
    recipe: SynthesisRecipe,
    *,
    out: Path,
    seeds: Sequence[int] = (0,),
    size: int | None = None,
    start: Path | None = None,
    frames: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[IdealImage, ...]:
    """Make, save and read back a picture of each target with each seed.

    Args:
        study: the network.
        targets: what the pictures shall show.
        recipe: how.
        out: the PNG of a single picture; several get names of their own beside it, and the file
            itself is left to a sheet of them all.
        seeds: of each target's pictures.
        size: side in pixels; the network's own input by default.
        start: a picture file to begin at instead of noise; its middle is cut out.
        frames: pictures of the way there to keep as an animation; 0 keeps none.
        progress: told of (done, planned) steps.

    Returns:
        Target by target, seed by seed.

    Raises:
        UnreadableImageError: `start` is not a picture.
        UserError: `start` would be overwritten.
        HeadstartError: a file cannot be written.
    """
    side = study.subject.preprocessing.crop if size is None else size
    wanted = [(target, seed) for target in targets for seed in seeds]
    paths = [out]
    if len(wanted) > 1:
        paths = [_beside(out, number, target) for number, (target, _) in enumerate(wanted, 1)]
    first = (
        None
        if start is None
        else _opened(start, [out, *paths, *(path.with_suffix(".webp") for path in paths)], side)
    )
    steps = recipe.settings.steps
    found = []
    for done, ((target, seed), path) in enumerate(zip(wanted, paths, strict=True)):
        latent = _latent(recipe, first, side, seed)

        def tell(step: int, _: int, before: int = done * steps) -> None:
            if progress:
                progress(before + step, len(wanted) * steps)

        found.append(_picture(study, target, recipe, latent, path, seed, side, frames, tell))
    return tuple(found)


def _picture(
    study: InspectedNetwork,
    target: Target,
    recipe: SynthesisRecipe,
    latent: Latent,
    path: Path,
    seed: int,
    side: int,
    frames: int,
    progress: Callable[[int, int], None],
) -> IdealImage:
    started = time.perf_counter()
    objective, goal = _objective(study, target, recipe)
    made = ascend(
        latent,
        objective,
        recipe.settings,
        prepare=DifferentiableResize(study.subject.preprocessing, side, side),
        side=study.subject.preprocessing.crop,
        seed=seed,
        goal=goal,
        frames=frames,
        progress=progress,
    )
    atomic_write(path, _png(made.pixels))
    animation = path.with_suffix(".webp") if frames else None
    if animation:
        atomic_write(animation, _webp(made.frames))
    read = study.read([path])
    label, probable = read.top(0, 1)[0]
    if isinstance(target, ClassTarget):
        probable = float(read.probabilities[0, target.index])
    return IdealImage(
        target=target,
        seed=seed,
        path=path,
        animation=animation,
        label=label,
        probability=probable,
        steps=made.steps,
        seconds=time.perf_counter() - started,
        pixels=made.pixels,
    )


def _objective(
    study: InspectedNetwork, target: Target, recipe: SynthesisRecipe
) -> tuple[Objective, StopCriterion | None]:
    """What to raise, and when it is enough."""
    subject = study.subject

    # Pictures are made on the CPU, where the same seed gives the same noise.
    if isinstance(target, ClassTarget):

        def logits(pixels: Tensor) -> Tensor:
            return subject.logits(pixels.to(subject.device))

        return recipe.loss(logits, target.index), StopCriterion(
            probability(logits, target.index), _AIM
        )

    def maps(pixels: Tensor) -> Tensor:
        return on_grid(subject.network.activations(pixels.to(subject.device))[target.stage])

    return activation(maps, target.channel, target.at), None


def _latent(recipe: SynthesisRecipe, first: Tensor | None, side: int, seed: int) -> Latent:
    if first is None:
        return recipe.latent.noise(side, torch.Generator().manual_seed(seed))
    return recipe.latent.of(first)


def _opened(start: Path, results: Sequence[Path], side: int) -> Tensor:
    """(3, side, side) in [0, 1], the middle of a picture file that is none of the results."""
    image = open_image(start)
    check_not_input(start, results)
    image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _beside(out: Path, number: int, target: Target) -> Path:
    """The file of one of several pictures."""
    words = re.sub(r"[^\w.]+", "-", target.name).strip("-")
    return out.with_name(f"{out.stem}-{number}-{words}.png")


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _webp(frames: Sequence[Pixels]) -> bytes:
    """An endless animation that rests on its last frame."""
    first, *others = (Image.fromarray(one) for one in frames)
    times = [_FRAME] * len(others) + [_LAST_FRAME]
    file = io.BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=others, duration=times, loop=0)
    return file.getvalue()
