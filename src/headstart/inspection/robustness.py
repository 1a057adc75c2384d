"""Measure how often a network stays correct under attack and under common corruptions.

Both change the network's input, after resizing: a change of 4/255 there is smaller than one of a
large photo, whose pixels the resizing averages. If a model has several views, they change what all
views are made from; see `headstart.inspection.canvas`.

The clean and corrupted accuracies are those of the ordinary prediction path (inference engine, in
its precision). Attacks need gradients and run on the differentiable form, without rounding to 8
bits, because 0.25/255 is less than one level.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headstart.backbones.stages import LOGITS
from headstart.errors import DataError
from headstart.evaluation.metrics import Accuracy
from headstart.images.corruptions import STRENGTHS, Corruption, corrupt
from headstart.inspection.attacks import APGD, AttackGoal, Threat
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.inspection.expected_time import Passes
from headstart.inspection.image_tensor import to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.labeled_sample import LabeledSample
from headstart.inspection.robustness_result import Robustness
from headstart.system.prefetch import prefetch, stack_batches
from headstart.types import Labels, Norm, Pixels, ProgressCallback, no_progress

EPSILONS: Final[Mapping[Norm, tuple[float, ...]]] = {
    Norm.LINF: tuple(levels / 255 for levels in (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)),
    Norm.L2: (0, 0.1, 0.25, 0.5, 1, 2, 4),
}
"""Default sizes of the changes of pixels in [0, 1]; l2 is for inputs of about 224 x 224. Networks
that were not trained to resist attacks lose most of their accuracy between the first three."""
_SCALES = (1.0, 100.0)
"""Factors of the logits. With a large one, log-odds become the margin (Carlini & Wagner 2017),
which is easier to raise if the network's probabilities are so flat that all classes compete."""
_BATCH, _BATCH_CUDA = 16, 64
"""Images per attack. More are not faster, and the backward pass stores all activations."""

Mask = npt.NDArray[np.bool_]


def measure_robustness(
    network: InspectedNetwork,
    sample: LabeledSample,
    *,
    norm: Norm = Norm.LINF,
    epsilons: Sequence[float] | None = None,
    attack: APGD,
    seed: int = 0,
    on_steps: ProgressCallback = no_progress,
    on_images: ProgressCallback = no_progress,
) -> Robustness:
    """Attack and corrupt a sample of images.

    Sizes of the changes are for pixels in [0, 1]; 0 is always included. The seed is that of the
    attack's starts, of noise and of fog.

    Raises:
        DataError: an epsilon is negative, NaN or infinite, or the network computes such numbers.
        MissingExtraError: PyTorch is not installed.
    """
    sizes = _sizes(EPSILONS[norm] if epsilons is None else epsilons)
    (clean,) = _correct(network, sample, [sample.pixels.__getitem__], no_progress)
    threats = [Threat(norm, epsilon, levels=None) for epsilon in sizes[1:]]
    wrong_at = np.zeros(len(sample), dtype=np.int64)
    wrong_at[clean] = 1 + _first_success(
        network.differentiable, sample, clean, threats, attack, seed=seed, progress=on_steps
    )
    kinds = list(itertools.product(Corruption, STRENGTHS))
    versions = [partial(_corrupted, sample.pixels, *kind, seed) for kind in kinds]
    corrupted: dict[Corruption, tuple[Accuracy, ...]] = dict.fromkeys(Corruption, ())
    masks = _correct(network, sample, versions, on_images)
    for (kind, _), correct in zip(kinds, masks, strict=True):
        corrupted[kind] += (Accuracy.of(correct),)
    return Robustness(
        sample=sample,
        norm=norm,
        epsilons=sizes,
        attacked=tuple(Accuracy.of(wrong_at > index) for index in range(len(sizes))),
        wrong_at=wrong_at,
        corrupted=corrupted,
        steps=attack.steps,
        restarts=attack.restarts,
        seed=seed,
    )


def most_passes(
    sample: LabeledSample,
    *,
    norm: Norm = Norm.LINF,
    epsilons: Sequence[float] | None = None,
    attack: APGD,
) -> Passes:
    """Return how often `measure_robustness` runs the network at most: if every attack fails."""
    sizes = _sizes(EPSILONS[norm] if epsilons is None else epsilons)
    runs = (len(sizes) - 1) * len(_scales(sample)) * attack.steps * attack.restarts
    versions = 1 + len(Corruption) * len(STRENGTHS)
    return Passes(forward=len(sample) * versions, gradients=len(sample) * runs)


def _scales(sample: LabeledSample) -> tuple[float, ...]:
    return _SCALES if sample.accepted.shape[1] > 2 else _SCALES[:1]


def _sizes(epsilons: Sequence[float]) -> tuple[float, ...]:
    """Sort, remove duplicates, and add 0."""
    for epsilon in epsilons:
        if not 0 <= epsilon < float("inf"):
            raise DataError(f"an epsilon is {epsilon:g}; give finite numbers, 0 or more")
    return tuple(sorted({0.0, *map(float, epsilons)}))


def _corrupted(pixels: Pixels, kind: Corruption, strength: int, seed: int, row: int) -> Pixels:
    """Corrupt one of the images, with the same random pattern at all strengths."""
    rng = np.random.default_rng([seed, list(Corruption).index(kind), row])
    return corrupt(pixels[row], kind, strength, rng)


def _correct(
    network: InspectedNetwork,
    sample: LabeledSample,
    versions: Sequence[Callable[[int], Pixels]],
    progress: ProgressCallback,
) -> list[Mask]:
    """Return, for each version of N images, (N,) bool: whether the engine predicts it correctly."""
    predicted = np.empty((len(versions), len(sample)), dtype=np.int64)
    done = 0
    for rows, model in _groups(network.differentiable, sample, np.arange(len(sample))):
        work, found = list(itertools.product(versions, rows.tolist())), []
        images = (image for _, image in prefetch(lambda item: item[0](item[1]), work))
        for outputs in network.engine_outputs(stack_batches(images, network.batch), model):
            scores = network.model.probabilities(outputs) if network.model else outputs[LOGITS]
            found += scores.argmax(1).tolist()
            progress(done + len(found), predicted.size)
        predicted[:, rows] = np.reshape(found, (len(versions), len(rows)))
        done += len(found)
    every = np.arange(len(sample))
    return [sample.accepted[every, classes] for classes in predicted]


def _groups(
    model: DifferentiableModel, sample: LabeledSample, rows: Labels
) -> Iterator[tuple[Labels, DifferentiableModel]]:
    """Divide rows by the shape of their images, where views are made from it; usually one group."""
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(model.canvas.resized(*sample.sizes[row]), []).append(row)
    for found in groups.values():
        yield np.array(found), model.for_images(*sample.sizes[found[0]])


def _first_success(
    model: DifferentiableModel,
    sample: LabeledSample,
    tested: Mask,
    threats: Sequence[Threat],
    attack: APGD,
    *,
    seed: int,
    progress: ProgressCallback,
) -> Labels:
    """Return the index of the first threat in which the attack succeeds, for each `tested` image.

    It is T if the attack never does. Threats grow, and an image that is misclassified in one is so
    in all larger ones. For the other images the best change so far, scaled up, is the next start:
    networks are nearly linear at this scale, so it is close. Each threat is searched twice: for the
    log-odds of any wrong class, and for the margin of the strongest wrong class. With two classes
    these are the same.
    """
    found = np.full(len(sample), len(threats), dtype=np.int64)
    accepted = sample.accepted
    size = model.batch(_BATCH_CUDA if model.device.type == "cuda" else _BATCH)
    runs = list(itertools.product(range(len(threats)), _scales(sample)))
    budget = attack.steps * attack.restarts
    total = int(tested.sum()) * len(runs) * budget
    done = running = 0  # steps of finished runs, whether taken or not, and of the current run

    def network(x: Tensor, seen: DifferentiableModel, scale: float) -> Tensor:
        nonlocal running
        running += len(x)
        progress(min(done + running, total), total)
        return seen.logits(x) * scale

    chunks = [
        (group[first : first + size], seen)
        for group, seen in _groups(model, sample, np.flatnonzero(tested))
        for first in range(0, len(group), size)
    ]
    for rows, seen in chunks:
        x = to_tensor(sample.pixels[rows], model.device)
        wanted = torch.from_numpy(~accepted[rows]).to(model.device)
        direction = torch.zeros_like(x)  # the best change so far, divided by its epsilon
        for number, (index, scale) in enumerate(runs, start=1):
            threat = threats[index]
            result = attack.run(
                partial(network, seen=seen, scale=scale),
                x,
                AttackGoal(wanted),
                threat,
                start=x + direction * threat.epsilon,
                seed=seed,
            )
            success = result.margins > 0
            finished = success.cpu().numpy()
            found[rows[finished]] = index
            # Finished images skip the remaining runs.
            done += budget * (len(rows) + int(finished.sum()) * (len(runs) - number))
            running = 0
            progress(min(done, total), total)
            direction = (result.pixels - x)[~success] / threat.epsilon
            x, wanted, rows = x[~success], wanted[~success], rows[~finished]
            if not len(rows):
                break
    return found[tested]
