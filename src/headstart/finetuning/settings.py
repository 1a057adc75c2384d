"""The tricks of fine-tuning, each with a default, and where it comes from.

docs/fine-tuning.md shows what those that were measured changed on real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headstart.errors import UserError

AUTO = None
"""A depth that is left to the measurements of the probe."""


class TuningRecipe(StrEnum):
    """Well-known answers to the question how much of the network is trained."""

    PROBE = "probe"
    """Nothing but the head: what `headstart fit` does."""
    LAST_STAGE = "last-stage"
    """The head and the last stage."""
    CLASSIFIER = "classifier"
    """The textbook's: the convolutional section stays as it is, the fully connected layers are
    trained on, and a new last layer maps the network's own outputs to the classes."""
    FULL = "full"
    """All of the network."""


class Optimizer(StrEnum):
    """How weights follow the gradient."""

    ADAMW = "adamw"
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    SGD = "sgd"
    """Stochastic gradient descent with Nesterov's momentum of 0.9."""


class Schedule(StrEnum):
    """How the learning rate falls after the warm-up."""

    COSINE = "cosine"
    """Along half a cosine to 0 (Loshchilov and Hutter 2017, SGDR, without restarts)."""
    STEP = "step"
    """To a tenth after a half of the steps, and again after three quarters."""
    CONSTANT = "constant"
    """Not at all."""


class BatchNorm(StrEnum):
    """What the layers of batch normalization in the tail go by."""

    AUTO = "auto"
    """Updated where the probe grows on an earlier stage than the last, or several: the images are
    then unlike the pre-training data; else frozen."""
    FROZEN = "frozen"
    """The moments of the pre-training data, as in use."""
    UPDATED = "updated"
    """Those of each batch, as in pre-training; the running moments follow."""


RANGES: Final = {
    "depth": (0, 1_000),
    "epochs": (1, 10_000),
    "views": (1, 1_000),
    "crop": (0.05, 1),
    "color": (0, 0.9),
    "rate": (1e-8, 10),
    "head_rate": (0, 1_000),
    "rate_decay": (0.01, 1),
    "warm_up": (0, 0.9),
    "batch": (2, 4_096),
    "weight_decay": (0, 10),
    "dropout": (0, 0.95),
    "clip": (1e-3, 1e6),
    "smoothing": (0, 0.9),
    "mixup": (0, 10),
    "cutmix": (0, 10),
    "averaging": (0, 1_000),
    "patience": (1, 10_000),
    "validation": (0.05, 0.5),
    "closing": (0, 1),
}
"""The least and the greatest that a number may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """How a tail is trained.

    Attributes:
        recipe: how much is trained, by name; None goes by `depth`.
        depth: stages that are trained, counted from the end: 0 is the probe, all of them the whole
            network; None chooses by what the probe found.
        epochs: passes over the images, each seen in one of its views.
        views: of each image that the trunk computes and the tail trains from, the plain one
            included.
        flip: whether views may be mirrored; None finds out (see `headstart.finetuning.invariance`).
        upside_down: whether they may stand on their head; likewise.
        crop: the smallest share of a picture that a view may show; likewise.
        color: greatest change of brightness, contrast and saturation, as a share.
        optimizer: see `Optimizer`.
        rate: learning rate of the last stage, of AdamW; ten times that is taken for SGD. None
            goes with batch normalization: 5e-4 where it is updated, 1e-4 where it is frozen.
        head_rate: of the head, as a share of `rate`.
        rate_decay: each stage further from the head learns at this share of the next one's rate
            (Howard and Ruder 2018, ULMFiT, "discriminative fine-tuning"; 1: all at the same).
        warm_up: share of the steps in which the rate rises from 0 (Goyal et al. 2017).
        schedule: see `Schedule`.
        batch: images a step.
        weight_decay: of matrices and filters, not of biases, norms and the head, which begins as
            a regularized solution.
        dropout: share of the head's features that are left out of each step (Srivastava et al.
            2014).
        clip: longest gradient; a longer one is shortened (Pascanu et al. 2013).
        batch_norm: see `BatchNorm`.
        smoothing: share of the target that is spread over all classes (Szegedy et al. 2016).
        mixup: alpha of the beta distribution of the share in which two images' activations are
            mixed (Zhang et al. 2018; Verma et al. 2019, inside the network: "manifold mixup");
            0 mixes none.
        cutmix: alpha for replacing a rectangle of one activation by another's (Yun et al. 2019);
            0 replaces none. With both, each batch gets one of them.
        averaging: epochs that a running average of the weights looks back; the average is what
            counts (Polyak and Juditsky 1992); 0 takes the last weights.
        interpolate: whether weights between the probe's and the fine-tuned ones are tried on the
            validation images too (Wortsman et al. 2022, "WiSE-FT"); with frozen batch
            normalization only.
        patience: epochs without a better validation loss after which training ends.
        validation: share of the training images that decide when to stop and what to keep.
        closing: share of `epochs` that go on from there with all training images, those of the
            validation part too, at a rate that falls from a fifth (Goodfellow et al. 2016, 7.8).
        mixed_precision: whether the tail computes in bfloat16 (Micikevicius et al. 2018; Kalamkar
            et al. 2019), see `headstart.finetuning.precision`; None does so on a GPU and on
            processors that have instructions for it.
        seed: of all that is drawn by chance.
    """

    recipe: TuningRecipe | None = None
    depth: int | None = AUTO
    epochs: int = 10
    views: int = 8
    flip: bool | None = None
    upside_down: bool | None = None
    crop: float | None = None
    color: float = 0.2
    optimizer: Optimizer = Optimizer.ADAMW
    rate: float | None = None
    head_rate: float = 1.0
    rate_decay: float = 1.0
    warm_up: float = 0.1
    schedule: Schedule = Schedule.COSINE
    batch: int = 32
    weight_decay: float = 0.05
    dropout: float = 0.0
    clip: float = 1.0
    batch_norm: BatchNorm = BatchNorm.AUTO
    smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    averaging: float = 1.0
    interpolate: bool = True
    patience: int = 5
    validation: float = 0.2
    closing: float = 0.2
    mixed_precision: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            UserError: it names the setting, its value and what it may be.
        """
        if self.recipe is not None and self.depth is not AUTO:
            raise UserError(
                f"the recipe {self.recipe} says how deep to go, and so does depth {self.depth}; "
                "give one of them"
            )
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                shown = name.replace("_", "-")
                raise UserError(f"{shown} is {value}; give a number from {low:g} to {high:g}")
