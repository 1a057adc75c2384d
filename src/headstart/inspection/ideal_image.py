"""Ideal images of a network's classes and channels, confirmed by reading them back.

Each image is synthesized, saved as an 8-bit PNG, and read by the ordinary prediction path, whose
prediction is reported.
"""

import io
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from headstart.images.decode import open_image
from headstart.images.differentiable_resize import DifferentiableResize
from headstart.inspection.image_tensor import encode, to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.synthesis.ascent import ascend
from headstart.inspection.synthesis.recipe import SynthesisRecipe
from headstart.inspection.synthesis_target import ClassTarget, Target
from headstart.system.display import Plotted
from headstart.system.files import atomic_write, check_not_input, cut_stem
from headstart.types import Pixels, ProgressCallback, no_progress

TARGET_PROBABILITY = 0.95
"""Probability that the saved image of a class should reach."""
_LONGER = ".webp"  # the longest extension of what is written
_FRAME = 80  # milliseconds
_LAST_FRAME = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealImage(Plotted):
    """A synthesized image, saved and read back.

    Attributes:
        target: class, channel or unit that the image should show.
        seed: random seed of the initial noise and of the transforms.
        path: path of the PNG file.
        animation: the WebP of the intermediate images; None unless requested.
        label: the most probable class of the saved file.
        probability: probability of the target class, or of all in the group; for a channel or unit,
            that of `label`.
        label_probability: probability of `label` alone.
        steps: number of steps of the ascent.
        seconds: wall-clock time of the synthesis.
        pixels: (H, W, 3), the image.
    """

    target: Target
    seed: int
    path: Path
    animation: Path | None
    label: str
    probability: float
    label_probability: float
    steps: int
    seconds: float
    pixels: Pixels

    @property
    def caption(self) -> str:
        """What the network says: the most probable class, and the probability."""
        group = isinstance(self.target, ClassTarget) and len(self.target.indices) > 1
        of = f" {self.label_probability:.3f}; any {self.target.name}" if group else ""
        return f"{self.label}{of} {self.probability:.3f}"

    def __repr__(self) -> str:
        return f"<IdealImage of {self.target.name!r}: {self.label!r} {self.probability:.3f}>"


def synthesize(
    network: InspectedNetwork,
    targets: Sequence[Target],
    recipe: SynthesisRecipe,
    *,
    out: Path,
    seeds: Sequence[int] = (0,),
    size: int | None = None,
    start: Path | None = None,
    frames: int = 0,
    progress: ProgressCallback = no_progress,
) -> tuple[IdealImage, ...]:
    """Synthesize, save and read back an image of each target with each seed, in this order.

    Args:
        network: network to synthesize for.
        targets: classes that the images should show, or channels or units of one view.
        recipe: how to synthesize them.
        out: the PNG of a single image. Several images get numbered names next to it, and `out`
            itself is reserved for an overview.
        seeds: random seeds; one image of each target per seed.
        size: side of the images in pixels; by default that of the network's input, or more if the
            recipe wants it.
        start: an image file to start from instead of noise; its center is used.
        frames: number of intermediate images to save as an animation; 0 for no animation.
        progress: called with (done, total) steps.

    Raises:
        UnreadableImageError: `start` is not an image.
        UserError: `start` would be overwritten.
        HeadstartError: a file cannot be written.
    """
    # A photo to start from is not rolled: it is not periodic.
    settings = recipe.settings if start is None else replace(recipe.settings, center_at=None)
    model, steps = network.differentiable, settings.steps
    preprocessing = targets[0].preprocessing(model)
    side = max(preprocessing.crop, recipe.least_side) if size is None else size
    jobs = [(target, seed) for target in targets for seed in seeds]
    paths = image_paths([target for target, _ in jobs], out)
    first = None
    if start is not None:
        first = _center(start, side)
        check_not_input(start, [out, *paths, *(path.with_suffix(".webp") for path in paths)])

    def synthesize_one(done: int, target: Target, seed: int, path: Path) -> IdealImage:
        started = time.perf_counter()
        generator = torch.Generator().manual_seed(seed)
        latent = recipe.latent.noise(side, generator) if first is None else recipe.latent.of(first)
        objective, goal = target.objective(model, recipe)

        def advance(step: int, _: int) -> None:
            progress(done * steps + step, len(jobs) * steps)

        result = ascend(
            latent,
            objective,
            settings,
            prepare=DifferentiableResize(preprocessing, side, side),
            side=preprocessing.crop,
            seed=seed,
            goal=goal,
            frames=frames,
            progress=advance,
        )
        atomic_write(path, encode(result.pixels, "PNG"))  # to be read back
        animation = path.with_suffix(".webp") if frames else None
        if animation:
            atomic_write(animation, _webp(result.frames))
        predictions = network.predict([path])
        label, own = predictions.top(0, 1)[0]
        probability = own
        if isinstance(target, ClassTarget):
            probability = float(predictions.probabilities[0, target.indices].sum())
        found = IdealImage(
            target=target,
            seed=seed,
            path=path,
            animation=animation,
            label=label,
            probability=probability,
            label_probability=own,
            steps=result.steps,
            seconds=time.perf_counter() - started,
            pixels=result.pixels,
        )
        atomic_write(path, _captioned(found, model.name))
        return found

    return tuple(
        synthesize_one(done, target, seed, path)
        for done, ((target, seed), path) in enumerate(zip(jobs, paths, strict=True))
    )


def image_paths(targets: Sequence[Target], out: Path) -> list[Path]:
    """Return the PNG of each image: `out` for a single one, else numbered ones next to it.

    Args:
        targets: The target of each image.
        out: As for `synthesize`.
    """
    if len(targets) == 1:
        return [out]
    return [_numbered(out, number, target) for number, target in enumerate(targets, 1)]


def _center(start: Path, side: int) -> Tensor:
    """Read the center square of an image file, resized to (3, side, side) in [0, 1]."""
    image = ImageOps.fit(open_image(start), (side, side), Image.Resampling.BICUBIC)
    return to_tensor(np.array(image))[0]


def _captioned(image: IdealImage, network: str) -> bytes:
    """Encode an image as a PNG whose text says what it is; its pixels stay as they are."""
    text = PngInfo()
    text.add_text("Title", f"Ideal image of {image.target.name}")
    text.add_text("Description", f"{image.caption}, according to {network}; seed {image.seed}")
    text.add_text("Software", "headstart imagine")
    file = io.BytesIO()
    Image.fromarray(image.pixels).save(file, "PNG", pnginfo=text)
    return file.getvalue()


def _numbered(out: Path, number: int, target: Target) -> Path:
    words = re.sub(r"[^\w.]+", "-", target.name).strip("-")
    stem = cut_stem(out.stem, f"-{number}{_LONGER}")
    return out.with_name(cut_stem(f"{stem}-{number}-{words}", _LONGER) + ".png")


def _webp(frames: Sequence[Pixels]) -> bytes:
    """Encode an endless animation that pauses on its last frame."""
    first, *others = (Image.fromarray(one) for one in frames)
    durations = [_FRAME] * len(others) + [_LAST_FRAME]
    file = io.BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=others, duration=durations, loop=0)
    return file.getvalue()
