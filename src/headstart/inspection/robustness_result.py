"""The result of measuring robustness, and its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.metrics import Accuracy
from headstart.images.corruptions import STRENGTHS, Corruption
from headstart.inspection.labeled_sample import LabeledSample
from headstart.system.display import Plotted
from headstart.types import Labels, Norm

_SUSPICIOUS = 4 / 255
"""No network without adversarial training stays correct under attack here (RobustBench)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Robustness(Plotted):
    """Accuracy under attack and under corruption.

    Attributes:
        sample: the N images.
        norm: norm of the adversarial changes.
        epsilons: E sizes of the changes in ascending order, the first 0.
        attacked: E accuracies under attack, one for each size: an image is correct if the attack
            cannot get it misclassified.
        wrong_at: (N,) index of the smallest epsilon at which each image is misclassified; E if it
            never is.
        corrupted: for each corruption, the accuracies at strengths 1 to 5.
        steps: gradients of the attack per start.
        restarts: number of starts of the attack.
        seed: random seed of the attack, noise and fog.
    """

    sample: LabeledSample
    norm: Norm
    epsilons: tuple[float, ...]
    attacked: tuple[Accuracy, ...]
    wrong_at: Labels
    corrupted: Mapping[Corruption, tuple[Accuracy, ...]]
    steps: int
    restarts: int
    seed: int

    def __repr__(self) -> str:
        return f"<Robustness on {self.sample.name}: {self.attacked[0]} without changes>"

    @property
    def corruption_accuracy(self) -> float:
        """Mean accuracy over all corruptions and strengths."""
        return float(np.mean([one.value for row in self.corrupted.values() for one in row]))

    @property
    def doubtful(self) -> bool:
        """Whether the attack may be too weak: accuracy at 4/255 is higher than ordinary networks'.

        A single image may be chance.
        """
        return self.norm is Norm.LINF and any(
            share.value > 0.01 and share.correct > 1
            for epsilon, share in zip(self.epsilons, self.attacked, strict=True)
            if epsilon >= _SUSPICIOUS - 1e-9
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all values for JSON, always with the same keys."""
        sample, sizes = self.sample, (*self.epsilons, None)
        return {
            "data": sample.name,
            "images": len(sample),
            "available": sample.available,
            "norm": self.norm,
            "steps": self.steps,
            "restarts": self.restarts,
            "seed": self.seed,
            "clean": _share(self.attacked[0]),
            "attack": [
                {"epsilon": epsilon, "epsilon_255": round(epsilon * 255, 9), **_share(one)}
                for epsilon, one in zip(self.epsilons, self.attacked, strict=True)
            ],
            "corruptions": {
                corruption: [
                    {"strength": strength, **_share(one)}
                    for strength, one in zip(STRENGTHS, row, strict=True)
                ]
                for corruption, row in self.corrupted.items()
            },
            "corruption_accuracy": self.corruption_accuracy,
            "by_image": [
                {"image": path, "label": label, "wrong_at": sizes[index]}
                for path, label, index in zip(
                    sample.paths, sample.labels, self.wrong_at, strict=True
                )
            ],
            "skipped": sample.skipped,
            "conflicts": sample.conflicts,
            "seen": sample.seen,
        }


def _share(accuracy: Accuracy) -> dict[str, Any]:
    return {**accuracy.as_dict(), "correct": accuracy.correct}
