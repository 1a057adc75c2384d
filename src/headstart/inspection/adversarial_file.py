"""An adversarial image file, made from an image file and confirmed by reading it back.

The attack works on the image in its original size, through the resizing, on the grid of 8 bits. The
result is saved; what counts is the ordinary prediction for the saved file.
"""

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
from headstart.errors import DataError, UserError
from headstart.images.decode import open_image
from headstart.inspection.attacks import Attack, AttackGoal, Threat
from headstart.inspection.image_tensor import encode, straight_through, to_array, to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.system.display import Plotted
from headstart.system.files import atomic_write, check_not_input
from headstart.types import ClassProbability, Norm, Pixels

_MARGINS = (3.0, 6.0, 12.0)
"""Margins in logits, tried in turn. At 3 the wanted class is 20 times as probable as the runner-up,
which usually survives rounding to bfloat16 in the inference engine; JPEG compression, and a high
probability among many classes, may need more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialImage(Plotted):
    """An image before and after an attack.

    Attributes:
        success: whether the saved file is predicted as wanted, with the probability that was
            asked for; with `jpeg`, both files.
        before: the most probable class of the original file, as `headstart predict` reads it.
        after: that of the saved file.
        jpeg: that of the result saved as JPEG; None if not requested.
        linf: largest change of any channel of any pixel, in [0, 1].
        l2: L2 norm of the change, of pixels in [0, 1].
        steps: number of gradients computed.
        seconds: wall-clock time of the attack.
        original: (H, W, 3), the image in its original size.
        pixels: (H, W, 3), the adversarial image.
    """

    success: bool
    before: ClassProbability
    after: ClassProbability
    jpeg: ClassProbability | None
    linf: float
    l2: float
    steps: int
    seconds: float
    original: Pixels
    pixels: Pixels

    def __repr__(self) -> str:
        outcome = "success" if self.success else "no success"
        return f"<AdversarialImage: {self.before.label!r} to {self.after.label!r}, {outcome}>"


def attack_file(
    network: InspectedNetwork,
    image: Path,
    *,
    out: Path,
    to: str | None,
    attack: Attack,
    threat: Threat,
    confidence: float | None = None,
    jpeg: tuple[Path, int] | None = None,
    seed: int = 0,
) -> AdversarialImage:
    """Change an image so that the network predicts another class, and save it.

    If the saved file is not predicted as wanted, the attack continues with a larger margin.
    Where a probability is asked for, it continues for the one class that won.

    Args:
        network: the network to fool.
        image: the image file.
        out: the PNG to write.
        to: the wanted class, or a group of ImageNet classes such as "cat"; None means any class but
            the current prediction.
        attack: the search algorithm.
        threat: how far the image may change, with 255 levels.
        confidence: probability in [0, 1) that the class that wins must have; by default any.
        jpeg: a JPEG file to write as well and its quality, 1 to 95; the attack must then survive
            the compression.
        seed: random seed of the random starts.

    Raises:
        DataError: there is no such class, or the image is already predicted as `to`.
        UnreadableImageError: the image cannot be read.
        UserError: a file to write is the image itself, or the confidence is no probability.
        HeadstartError: a file cannot be written.
    """
    started, margins = time.perf_counter(), _margins(confidence)
    original = np.asarray(open_image(image))
    check_not_input(image, [out, *(jpeg[:1] if jpeg else ())])
    model = network.differentiable
    before = _predict(network, image)
    goal = _goal(model.classes, before, to)
    pixels = to_tensor(original, model.device)
    of_image = model.whole_images(original.shape[1], original.shape[0])

    def logits(x: Tensor) -> Tensor:
        if jpeg is None:
            return of_image(x)
        return (of_image(x) + of_image(_compress(x, jpeg[1]))) / 2

    def won(prediction: ClassProbability) -> bool:
        return bool(goal.wanted[0, model.classes.index(prediction.label)])

    def reached(prediction: ClassProbability) -> bool:
        return won(prediction) and prediction.probability >= (confidence or 0)

    start, steps, compressed = None, 0, None
    for margin in margins:
        result = attack.run(logits, pixels, goal, threat, start=start, confidence=margin, seed=seed)
        start, steps = result.pixels, steps + int(result.steps.sum())
        found = to_array(result.pixels)[0]
        atomic_write(out, encode(found, "PNG"))
        after = _predict(network, out)
        if jpeg:
            atomic_write(jpeg[0], encode(found, "JPEG", quality=jpeg[1]))
            compressed = _predict(network, jpeg[0])
        success = reached(after) and (compressed is None or reached(compressed))
        # Other classes of the goal would take probability away from the one that won.
        several = bool(confidence) and won(after) and int(goal.wanted.sum()) > 1
        if success or (float(result.margins) < margin and not several):
            break  # done, or a larger margin is out of reach as well
        if several:
            winner = model.classes.index(after.label)
            goal = AttackGoal.targeted([winner], classes=len(model.classes))
    change = found.astype(np.int16) - original
    return AdversarialImage(
        success=success,
        before=before,
        after=after,
        jpeg=compressed,
        linf=int(np.abs(change).max()) / 255,
        l2=math.sqrt(np.square(change, dtype=np.int32).sum(dtype=np.int64)) / 255,
        steps=steps,
        seconds=time.perf_counter() - started,
        original=original,
        pixels=found,
    )


def _margins(confidence: float | None) -> tuple[float, ...]:
    """Return margins to try: with one below the log-odds of a probability, it is out of reach.

    Raises:
        UserError: it is not a probability below 1.
    """
    if confidence is not None and not 0 <= confidence < 1:
        raise UserError(f"confidence is {confidence:g}; give a probability below 1, such as 0.9")
    least = math.log(confidence / (1 - confidence)) if confidence else 0.0
    return tuple(max(margin, least + 1.0) for margin in _MARGINS)


def largest_epsilon(norm: Norm, image: Path) -> float:
    """Return the largest possible change of an image: the distance from black to white."""
    if norm is Norm.LINF:
        return 1.0
    width, height = open_image(image).size
    return math.sqrt(3 * width * height)


def _goal(classes: tuple[str, ...], before: ClassProbability, to: str | None) -> AttackGoal:
    present = classes.index(before.label)
    if to is None:
        return AttackGoal.untargeted(torch.tensor([present]), classes=len(classes))
    targets = find_classes(to, classes)
    if present in targets:
        raise DataError(
            f"the network already predicts {before.label} for this image, which counts as {to!r}; "
            f"choose another class"
        )
    return AttackGoal.targeted(targets, classes=len(classes))


def _predict(network: InspectedNetwork, path: Path) -> ClassProbability:
    predictions = network.predict([path])
    if predictions.skipped:
        raise DataError(f"{path} cannot be used: {predictions.skipped[0].reason}")
    return predictions.top(0, 1)[0]


def _compress(pixels: Tensor, quality: int) -> Tensor:
    """Compress images as JPEG; the gradient passes unchanged.

    Backward pass differentiable approximation (Athalye, Carlini & Wagner 2018) by the identity.
    """
    files = [io.BytesIO(encode(one, "JPEG", quality=quality)) for one in to_array(pixels)]
    decoded = np.stack([np.asarray(Image.open(file)) for file in files])
    return straight_through(pixels, to_tensor(decoded, pixels.device))
