"""An adversarial picture of a picture file, believed only after it was read back.

The attack runs on the picture in its own size, through the resizing, in whole levels of 8 bits; the
result is saved, and what counts is what the ordinary prediction path says of the saved file.
"""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headstart.backbones.imagenet_names import find_classes
from headstart.errors import DataError
from headstart.images.decode import open_image
from headstart.images.differentiable_resize import DifferentiableResize
from headstart.inspection.attacks import Attack, AttackGoal, Threat
from headstart.inspection.attacks.search import Logits
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.system.files import atomic_write, check_not_input
from headstart.types import Norm, Pixels

_CONFIDENCES = (3.0, 6.0, 12.0)
"""Margins in logits that are tried in turn. At 3 the wanted label is 20 times as probable as the
next other one, which holds in the bfloat16 of the engine that reads the file back, too; saving as
JPEG may ask for more."""


@dataclass(frozen=True, slots=True)
class FilePrediction:
    """What the ordinary prediction path says of a file.

    Attributes:
        label: the most probable class.
        probability: of it, in [0, 1].
    """

    label: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialImage:
    """An attacked picture.

    Attributes:
        success: whether the saved file is taken for what was wanted (where `jpeg` was asked for,
            both files).
        before: of the original file.
        after: of the saved file.
        jpeg: of the picture saved again as JPEG; None if that was not asked for.
        linf: largest change of any number, in [0, 1].
        l2: root of the sum of all squared changes of pixels in [0, 1].
        steps: gradients that were computed.
        seconds: wall-clock time.
        original: (H, W, 3), the picture in its own size.
        pixels: (H, W, 3), the attacked one.
    """

    success: bool
    before: FilePrediction
    after: FilePrediction
    jpeg: FilePrediction | None
    linf: float
    l2: float
    steps: int
    seconds: float
    original: Pixels
    pixels: Pixels


def attack_picture(
    study: InspectedNetwork,
    image: Path,
    *,
    out: Path,
    to: str | None,
    attack: Attack,
    threat: Threat,
    jpeg: tuple[Path, int] | None = None,
    seed: int = 0,
) -> AdversarialImage:
    """Make a network see something else in a picture.

    Args:
        study: the network.
        image: file of the picture.
        out: the PNG to write.
        to: a class or a group of ImageNet ("cat"); None wants anything but the present label.
        attack: how to search.
        threat: how far the picture may change; on the grid of 8 bits.
        jpeg: a file to write the result to as JPEG too, and its quality, 1 to 95; the label must
            then survive that as well.
        seed: of random starts.

    Raises:
        DataError: no class is called so, or the picture is one of `to` already.
        UnreadableImageError: the picture cannot be read.
        UserError: a file to write is the picture itself.
        HeadstartError: a file cannot be written.
    """
    started = time.perf_counter()
    original = np.asarray(open_image(image))
    check_not_input(image, [out, *(jpeg[:1] if jpeg else ())])
    subject = study.subject
    before = _read(study, image)
    goal = _goal(subject.classes, before, to)
    pixels = _tensor(original).to(subject.device)
    twin = DifferentiableResize(subject.preprocessing, original.shape[1], original.shape[0])

    def logits(x: Tensor) -> Tensor:
        if jpeg is None:
            return subject.logits(twin(x))
        return (subject.logits(twin(x)) + subject.logits(twin(_resaved(x, jpeg[1])))) / 2

    work = _FileAttack(study, logits, pixels, goal, attack, threat, seed)
    found, after, again = work.until_read_back(out, jpeg)
    change = found.astype(np.int16) - original
    return AdversarialImage(
        success=all(work.reached(one) for one in (after, again) if one is not None),
        before=before,
        after=after,
        jpeg=again,
        linf=int(np.abs(change).max()) / 255,
        l2=math.sqrt(np.square(change, dtype=np.int32).sum(dtype=np.int64)) / 255,
        steps=work.steps,
        seconds=time.perf_counter() - started,
        original=original,
        pixels=found,
    )


def largest_epsilon(norm: Norm, image: Path) -> float:
    """The distance between black and white for a picture file: no change is larger."""
    if norm is Norm.LINF:
        return 1.0
    width, height = open_image(image).size
    return math.sqrt(3 * width * height)


class _FileAttack:
    """Attack, save, read back; again with more confidence if the file disappoints."""

    def __init__(
        self,
        study: InspectedNetwork,
        logits: Logits,
        pixels: Tensor,
        goal: AttackGoal,
        attack: Attack,
        threat: Threat,
        seed: int,
    ) -> None:
        self._study, self._logits, self._pixels, self._goal = study, logits, pixels, goal
        self._attack, self._threat, self._seed = attack, threat, seed
        self.steps = 0

    def until_read_back(
        self, out: Path, jpeg: tuple[Path, int] | None
    ) -> tuple[Pixels, FilePrediction, FilePrediction | None]:
        start = None
        for confidence in _CONFIDENCES:
            attacked = self._attack.run(
                self._logits,
                self._pixels,
                self._goal,
                self._threat,
                start=start,
                confidence=confidence,
                seed=self._seed,
            )
            self.steps += int(attacked.steps.sum())
            found = _array(attacked.pixels)
            atomic_write(out, _encoded(found, "PNG"))
            after, again = _read(self._study, out), None
            if jpeg:
                atomic_write(jpeg[0], _encoded(found, "JPEG", quality=jpeg[1]))
                again = _read(self._study, jpeg[0])
            if self.reached(after) and (again is None or self.reached(again)):
                break
            if float(attacked.margins) < confidence:
                break  # a larger margin is out of reach, too
            start = attacked.pixels
        return found, after, again

    def reached(self, reading: FilePrediction) -> bool:
        """Whether a label is one that was wanted."""
        index = self._study.subject.classes.index(reading.label)
        return bool(self._goal.wanted[0, index])


def _goal(classes: tuple[str, ...], before: FilePrediction, to: str | None) -> AttackGoal:
    present = classes.index(before.label)
    if to is None:
        return AttackGoal.away(torch.tensor([present]), classes=len(classes))
    targets = find_classes(to, classes)
    if present in targets:
        raise DataError(
            f"the network takes the picture for {before.label} already, which is what {to!r} asks "
            f"for; name another class"
        )
    return AttackGoal.into(targets, classes=len(classes))


def _read(study: InspectedNetwork, path: Path) -> FilePrediction:
    predictions = study.read([path])
    if predictions.skipped:
        raise DataError(f"{path} cannot be used: {predictions.skipped[0].reason}")
    return FilePrediction(*predictions.top(0, 1)[0])


def _resaved(pixels: Tensor, quality: int) -> Tensor:
    """Pictures after JPEG; the gradient passes as if nothing had happened.

    Backward pass differentiable approximation (Athalye, Carlini & Wagner 2018) by the identity.
    """
    files = [io.BytesIO(_encoded(_array(one[None]), "JPEG", quality=quality)) for one in pixels]
    decoded = [_tensor(np.asarray(Image.open(file))) for file in files]
    return pixels + (torch.cat(decoded).to(pixels.device) - pixels).detach()


def _tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def _array(pixels: Tensor) -> Pixels:
    """(1, 3, H, W) in [0, 1], on the grid of 8 bits, to (H, W, 3) uint8."""
    array: Pixels = (pixels.detach()[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return array


def _encoded(pixels: Pixels, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()
