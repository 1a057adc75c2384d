"""How often a network stays right when its pictures change.

Two kinds of change, both made to the prepared picture, which is what the network sees: the worst
that an attacker finds within epsilon, and what cameras, weather and files do. A change of 4/255
there is a smaller one of a large photo, whose pixels the preparation averages.

What is right is what the ordinary prediction path (inference engine, its precision) gets right.
Attacks need gradients and run on the network's differentiable form, on a continuous range of
values, since 0.25/255 is less than one step of 8 bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headstart.engines import Engine, build_engine, make_plan
from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.images.corruptions import STRENGTHS, Corruption, corrupt
from headstart.inspection.attacks import APGD, AttackGoal, Threat
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.labeled_sample import LabeledSample
from headstart.system.prefetch import prefetch, stack_batches
from headstart.types import Floats, Interval, Labels, Norm, Pixels, ProgressCallback

EPSILONS: Final[Mapping[Norm, tuple[float, ...]]] = MappingProxyType(
    {
        Norm.LINF: tuple(levels / 255 for levels in (0, 0.25, 0.5, 1, 2, 4, 8)),
        Norm.L2: (0, 0.1, 0.25, 0.5, 1, 2, 4),
    }
)
"""Sizes of change by default, of pixels in [0, 1]. Those of l2 are for about 224 x 224 pixels."""
_ORDINARY = 4 / 255
"""No network that was not trained against attacks stays right within this (RobustBench)."""
_SHARPNESS = (1.0, 100.0)
"""Factors of the logits. With a large one, log-odds become the margin (Carlini & Wagner 2017),
which finds its way where the network's own answers are so soft that all classes pull at once."""
_BATCH, _BATCH_CUDA = 16, 64
"""Pictures attacked at once. More are no faster; a backward pass keeps every layer of each."""


@dataclass(frozen=True, slots=True)
class CorrectCount:
    """How many of some images are right."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Their share, [0, 1]."""
        return self.correct / self.images

    @property
    def interval(self) -> Interval:
        """95% interval of it (Wilson)."""
        return metrics.wilson(self.correct, self.images)

    def as_dict(self) -> dict[str, Any]:
        """Accuracy, interval and counts."""
        return {
            "accuracy": self.accuracy,
            "interval": [self.interval.low, self.interval.high],
            "correct": self.correct,
            "images": self.images,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Robustness:
    """What was found.

    Attributes:
        sample: the pictures.
        norm: of the attacker's changes.
        epsilons: E sizes of them, ascending, the first 0.
        attacked: E shares that stay right, whatever the attack tries within each size.
        broken: (N,) index of the smallest epsilon at which each picture is wrong; E for never.
        corrupted: for each corruption, the shares right at strengths 1 to 5.
        steps: gradients of the attack, for each start.
        restarts: its starts.
        seed: of all that was drawn by chance.
    """

    sample: LabeledSample
    norm: Norm
    epsilons: tuple[float, ...]
    attacked: tuple[CorrectCount, ...]
    broken: Labels
    corrupted: Mapping[Corruption, tuple[CorrectCount, ...]]
    steps: int
    restarts: int
    seed: int

    @property
    def corruption_accuracy(self) -> float:
        """Mean accuracy over all corruptions and strengths."""
        return float(np.mean([one.accuracy for row in self.corrupted.values() for one in row]))

    @property
    def doubtful(self) -> bool:
        """Whether more survives 4/255 than an ordinary network lets: the attack may be too weak.

        One picture may be chance.
        """
        return self.norm is Norm.LINF and any(
            share.accuracy > 0.01 and share.correct > 1
            for epsilon, share in zip(self.epsilons, self.attacked, strict=True)
            if epsilon >= _ORDINARY - 1e-9
        )

    def as_dict(self) -> dict[str, Any]:
        """All numbers, as JSON knows them; always the same keys."""
        sample = self.sample
        return {
            "data": sample.name,
            "images": len(sample),
            "available": sample.available,
            "norm": str(self.norm),
            "steps": self.steps,
            "restarts": self.restarts,
            "seed": self.seed,
            "clean": self.attacked[0].as_dict(),
            "attack": [
                {"epsilon": epsilon, "epsilon_255": round(epsilon * 255, 9), **share.as_dict()}
                for epsilon, share in zip(self.epsilons, self.attacked, strict=True)
            ],
            "corruptions": {
                str(corruption): [
                    {"strength": strength, **share.as_dict()}
                    for strength, share in zip(STRENGTHS, shares, strict=True)
                ]
                for corruption, shares in self.corrupted.items()
            },
            "corruption_accuracy": self.corruption_accuracy,
            "by_image": [
                {
                    "image": str(path),
                    "label": label,
                    "wrong_at": self.epsilons[place] if place < len(self.epsilons) else None,
                }
                for path, label, place in zip(
                    sample.paths, sample.labels, self.broken.tolist(), strict=True
                )
            ],
            "skipped": [{"path": one.path, "reason": one.reason} for one in sample.skipped],
            "conflicts": [
                {"paths": list(one.paths), "labels": list(one.labels)} for one in sample.conflicts
            ],
            "seen": sample.seen,
        }


def measure_robustness(
    study: InspectedNetwork,
    sample: LabeledSample,
    *,
    norm: Norm = Norm.LINF,
    epsilons: Sequence[float] | None = None,
    attack: APGD,
    seed: int = 0,
    on_steps: ProgressCallback | None = None,
    on_pictures: ProgressCallback | None = None,
) -> Robustness:
    """Attack and corrupt a sample of pictures.

    Args:
        study: the network.
        sample: pictures prepared for it.
        norm: of the attacker's changes.
        epsilons: their sizes for pixels in [0, 1]; 0 is always among them.
        attack: what searches for the worst case.
        seed: of the attack's random starts, of noise and of fog.
        on_steps: called with (done, total) of the attack's steps.
        on_pictures: likewise with corrupted pictures.

    Raises:
        DataError: an epsilon is negative, or not a number.
        MissingExtraError: PyTorch is not installed.
    """
    sizes = _sizes(EPSILONS[norm] if epsilons is None else epsilons)
    reader = _PredictionPath(study)
    (clean,) = reader.right([sample.pixels.__getitem__], sample.accepted)
    threats = [Threat(norm, epsilon, levels=None) for epsilon in sizes[1:]]
    broken = np.zeros(len(sample), dtype=np.int64)
    broken[clean] = 1 + _broken(
        study.subject,
        sample.pixels[clean],
        sample.accepted[clean],
        threats,
        attack,
        seed=seed,
        progress=on_steps,
    )
    kinds = list(itertools.product(Corruption, STRENGTHS))
    spoilt = reader.right(
        [_corruption(sample.pixels, kind, strength, seed) for kind, strength in kinds],
        sample.accepted,
        progress=on_pictures,
    )
    shares: dict[Corruption, tuple[CorrectCount, ...]] = dict.fromkeys(Corruption, ())
    for (kind, _), right in zip(kinds, spoilt, strict=True):
        shares[kind] += (CorrectCount(int(right.sum()), len(sample)),)
    return Robustness(
        sample=sample,
        norm=norm,
        epsilons=sizes,
        attacked=tuple(
            CorrectCount(int((broken > place).sum()), len(sample)) for place in range(len(sizes))
        ),
        broken=broken,
        corrupted=shares,
        steps=attack.steps,
        restarts=attack.restarts,
        seed=seed,
    )


def _sizes(epsilons: Sequence[float]) -> tuple[float, ...]:
    """Ascending, without copies, 0 first."""
    for epsilon in epsilons:
        if not 0 <= epsilon < float("inf"):
            raise DataError(f"an epsilon is {epsilon:g}; give sizes of a change, 0 or more")
    return tuple(sorted({0.0, *map(float, epsilons)}))


def _corruption(
    pixels: Pixels, kind: Corruption, strength: int, seed: int
) -> Callable[[int], Pixels]:
    """What makes the corrupted form of one picture; its pattern is that of all strengths."""

    def make(row: int) -> Pixels:
        rng = np.random.default_rng([seed, list(Corruption).index(kind), row])
        return corrupt(pixels[row], kind, strength, rng)

    return make


class _PredictionPath:
    """The ordinary prediction path, for pictures that are in no file."""

    def __init__(self, study: InspectedNetwork) -> None:
        self._study = study
        self._engine: Engine = build_engine(study.backbone, make_plan())

    def right(
        self,
        versions: Sequence[Callable[[int], Pixels]],
        accepted: npt.NDArray[np.bool_],
        *,
        progress: ProgressCallback | None = None,
    ) -> list[npt.NDArray[np.bool_]]:
        """For each version of the N pictures, (N,): whether the prediction is an accepted one."""
        count = len(accepted)
        work = [(version, row) for version in versions for row in range(count)]
        predicted: list[int] = []
        with closing(self._engine.stream(self._batches(work))) as stream:
            for outputs in stream:
                predicted += self._scores(outputs).argmax(1).tolist()
                if progress:
                    progress(len(predicted), len(work))
        guesses = np.array(predicted, dtype=np.int64).reshape(len(versions), count)
        return [accepted[np.arange(count), guess] for guess in guesses]

    def _batches(self, work: Sequence[tuple[Callable[[int], Pixels], int]]) -> Iterator[Pixels]:
        pictures = (made for _, made in prefetch(lambda item: item[0](item[1]), work))
        return stack_batches(pictures, self._engine.batch)

    def _scores(self, outputs: Sequence[Floats]) -> Floats:
        if not all(np.isfinite(values).all() for values in outputs):
            raise DataError(
                f"{self._study.backbone.name} computes numbers that are not finite; its weights "
                "may be damaged: load them anew"
            )
        if self._study.model is None:
            return outputs[-1]
        names = (stage.name for stage in self._study.backbone.stages)
        return self._study.model.probabilities(dict(zip(names, outputs, strict=False)))


def _broken(
    subject: DifferentiableModel,
    pixels: Pixels,
    accepted: npt.NDArray[np.bool_],
    threats: Sequence[Threat],
    attack: APGD,
    *,
    seed: int,
    progress: ProgressCallback | None,
) -> Labels:
    """(N,): index of the first threat, of growing size, that holds a wrong picture; T for none.

    What is broken stays so within all larger sizes. What is not goes on from the best change so
    far, enlarged: networks are nearly linear at this scale, so it has most of its way behind it.
    Within each size the attack climbs two hills: the log-odds of a wrong answer, and the margin of
    the strongest wrong class. With two classes they are the same.
    """
    found = np.full(len(pixels), len(threats), dtype=np.int64)
    device = subject.device
    size = _BATCH_CUDA if device.type == "cuda" else _BATCH
    sharpness = _SHARPNESS if accepted.shape[1] > 2 else _SHARPNESS[:1]
    runs = [(place, sharp) for place in range(len(threats)) for sharp in sharpness]
    budget = attack.steps * attack.restarts
    meter = _StepProgress(progress, len(pixels) * len(runs) * budget)
    for first in range(0, len(pixels), size):
        rows = np.arange(first, min(first + size, len(pixels)))
        x = torch.from_numpy(pixels[rows]).to(device).permute(0, 3, 1, 2) / 255
        wanted = torch.from_numpy(~accepted[rows]).to(device)
        direction = torch.zeros_like(x)  # the best change so far, over its epsilon
        for done, (place, sharp) in enumerate(runs, start=1):
            threat = threats[place]
            result = attack.run(
                meter.counting(subject.logits, sharp), x, AttackGoal(wanted), threat,
                start=x + direction * threat.epsilon, seed=seed,
            )  # fmt: skip
            reached = result.margins > 0
            gone = reached.cpu().numpy()
            found[rows[gone]] = place
            # What is broken needs none of the runs that are left.
            meter.settle(budget * (len(rows) + int(gone.sum()) * (len(runs) - done)))
            direction = (result.pixels - x)[~reached] / threat.epsilon
            x, wanted, rows = x[~reached], wanted[~reached], rows[~gone]
            if not len(rows):
                break
    return found


class _StepProgress:
    """Progress in steps of an attack: those taken, and those that are not needed any more."""

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._settled = self._running = 0

    def counting(
        self, logits: Callable[[Tensor], Tensor], sharp: float
    ) -> Callable[[Tensor], Tensor]:
        """The same network with logits so many times as large, heard at each step."""

        def count(pixels: Tensor) -> Tensor:
            self._running += len(pixels)
            self._report()
            return logits(pixels) * sharp

        return count

    def settle(self, steps: int) -> None:
        """So many steps are done with, the running ones among them."""
        self._settled += steps
        self._running = 0
        self._report()

    def _report(self) -> None:
        if self._progress:
            self._progress(min(self._settled + self._running, self._total), self._total)
