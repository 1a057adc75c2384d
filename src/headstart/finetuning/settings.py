"""The settings of fine-tuning, with type, default, bounds and help.

docs/fine-tuning.md shows the measured effects on real images.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from headstart.errors import UserError
from headstart.system.option import Advanced, Option, check_bounds

MIN_DEPTH = 3
"""Stages to train at least: fewer have too few parameters to change what the features represent."""


class TuningRecipe(StrEnum):
    """Well-known choices of how much of the network to train."""

    PROBE = "probe"
    """Only the head, as in `headstart fit`."""
    LAST_STAGE = "last-stage"
    """The head and the last stage."""
    CLASSIFIER = "classifier"
    """The textbook recipe: the convolutional layers stay frozen, the fully connected layers are
    trained, and a new last layer maps the network's own outputs to the classes."""
    FULL = "full"
    """The whole network."""


class Optimizer(StrEnum):
    """The rule that updates weights from gradients."""

    ADAMW = "adamw"
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    SGD = "sgd"
    """Stochastic gradient descent with a Nesterov momentum of 0.9."""


class Schedule(StrEnum):
    """How the learning rate falls after the warm-up."""

    COSINE = "cosine"
    """Along half a cosine to 0 (Loshchilov and Hutter 2017, SGDR, without restarts)."""
    STEP = "step"
    """To a tenth after half of the steps, and again after three quarters."""
    CONSTANT = "constant"
    """Constant after the warm-up."""


class BatchNorm(StrEnum):
    """Which statistics the batch normalization layers of the trained part use."""

    AUTO = "auto"
    """Updated if the probe uses an earlier stage than the last, or several: such images differ
    from the pre-training data. Frozen otherwise."""
    FROZEN = "frozen"
    """The running statistics of the pre-training data, as in inference."""
    UPDATED = "updated"
    """The statistics of each batch, as in pre-training; the running statistics follow."""


class Keep(StrEnum):
    """What the resulting model is."""

    BETTER = "better"
    """The average of both, or one of them: whatever the validation images show to be better."""
    TUNED = "tuned"
    """The fine-tuned network, whatever the validation images show."""
    PROBE = "probe"
    """The model before, whatever the validation images show."""


_NAMED: Final[dict[str, type[StrEnum]]] = {
    "recipe": TuningRecipe,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "batch_norm": BatchNorm,
    "keep": Keep,
}
"""The settings that are one of several names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """How part of a network is fine-tuned. `headstart finetune --help` prints the same text.

    Attributes:
        recipe: How much to train, by name: only the head (probe), also the last stage, the fully
            connected layers (classifier), or the full network. Replaces --depth.
        depth: Stages to train, counted back from the last stage that the head uses; 0 trains only
            the head.
        epochs: Passes over the training images.
        views: Versions of each image to train on: the image itself and random augmentations.
        flip: Mirror images at random.
        upside_down: Turn images upside down at random.
        crop: Smallest share of an image's area that a random crop may keep.
        color: Maximum random change of brightness, contrast and saturation, as a share.
        optimizer: The optimizer; SGD uses Nesterov momentum.
        rate: Learning rate of the last stage for AdamW; SGD uses ten times this rate.
        head_rate: Learning rate of the head, as a multiple of --rate.
        rate_decay: Learning rate of each earlier stage, as a share of the next stage's.
        warm_up: Share of the steps in which the learning rate rises from 0.
        schedule: How the learning rate falls after the warm-up.
        batch: Number of images per training step.
        weight_decay: Weight decay of matrices and filters; biases, norms and the head have none.
        dropout: Dropout rate of the head's features.
        clip: Clip gradients to this norm.
        batch_norm: Batch normalization with the statistics of pre-training (frozen) or of the new
            images (updated).
        smoothing: Label smoothing: share of the target that is spread over all classes.
        mixup: Alpha of mixup between activations; 0 turns it off.
        cutmix: Alpha of CutMix between activations; 0 turns it off. With both, each batch gets one.
        averaging: Epochs that the running average of the weights spans; 0 uses the last weights.
        interpolate: Also try weights between the probe's and the fine-tuned ones; needs frozen
            batch normalization.
        keep: The model to write: the better one or their average, by the validation images
            (better), or to compare them, the fine-tuned network or the probe, whatever they show.
        average: Average the predictions of the fine-tuned network and of the model it starts from;
            without it, the clearly better one of both is kept alone.
        patience: Stop after this many epochs without a better validation loss.
        validation: Share of the training images that decide when to stop and which weights to keep.
        closing: More epochs on all training images after fine-tuning was found to be better, as a
            share of --epochs; their learning rate starts at a fifth.
        mixed_precision: Train in bfloat16.
        seed: Random seed.
    """

    recipe: TuningRecipe | None = None
    depth: Annotated[int | None, Option(low=0, high=1_000)] = None
    epochs: Annotated[int, Option(low=1, high=10_000)] = 10
    views: Annotated[int, Advanced(low=1, high=1_000)] = 8
    # If None, `headstart.finetuning.invariance` measures what the classes allow.
    flip: Annotated[bool | None, Advanced(unset="if accuracy allows")] = None
    upside_down: Annotated[bool | None, Advanced(unset="if accuracy allows")] = None
    crop: Annotated[
        float | None, Advanced(low=0.05, high=1, unset="as small as accuracy allows")
    ] = None
    color: Annotated[float, Advanced(low=0, high=0.9)] = 0.2
    optimizer: Annotated[Optimizer, Advanced()] = Optimizer.ADAMW
    rate: Annotated[
        float | None,
        Option(low=1e-8, high=10, unset="5e-4, or 1e-4 with frozen batch normalization"),
    ] = None
    head_rate: Annotated[float, Advanced(low=0, high=1_000)] = 1.0
    # Howard and Ruder 2018, ULMFiT, "discriminative fine-tuning".
    rate_decay: Annotated[float, Advanced(low=0.01, high=1)] = 1.0
    warm_up: Annotated[float, Advanced(low=0, high=0.9)] = 0.1  # Goyal et al. 2017
    schedule: Annotated[Schedule, Advanced()] = Schedule.COSINE
    batch: Annotated[int, Option(low=2, high=4_096)] = 32
    # None on the head, which begins as a regularized solution.
    weight_decay: Annotated[float, Advanced(low=0, high=10)] = 0.05
    dropout: Annotated[float, Advanced(low=0, high=0.95)] = 0.0  # Srivastava et al. 2014
    clip: Annotated[float, Advanced(low=1e-3, high=1e6)] = 1.0  # Pascanu et al. 2013
    batch_norm: Annotated[BatchNorm, Advanced()] = BatchNorm.AUTO
    smoothing: Annotated[float, Advanced(low=0, high=0.9)] = 0.0  # Szegedy et al. 2016
    # Zhang et al. 2018; inside the network it is "manifold mixup" (Verma et al. 2019).
    mixup: Annotated[float, Advanced(low=0, high=10)] = 0.0
    cutmix: Annotated[float, Advanced(low=0, high=10)] = 0.0  # Yun et al. 2019
    averaging: Annotated[float, Advanced(low=0, high=1_000)] = 1.0  # Polyak and Juditsky 1992
    interpolate: Annotated[bool, Advanced()] = True  # Wortsman et al. 2022, "WiSE-FT"
    keep: Annotated[Keep, Option()] = Keep.BETTER
    average: Annotated[bool, Advanced()] = True
    patience: Annotated[int, Advanced(low=1, high=10_000)] = 5
    validation: Annotated[float, Advanced(low=0.05, high=0.5)] = 0.2
    closing: Annotated[float, Advanced(low=0, high=1)] = 0.2  # Goodfellow et al. 2016, 7.8
    # Micikevicius et al. 2018; Kalamkar et al. 2019; see `headstart.finetuning.precision`.
    mixed_precision: Annotated[bool | None, Advanced(unset="if the hardware supports it")] = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other or are out of bounds.

        Names may be text, as in `TuningSettings(recipe="full")`.

        Raises:
            UserError: with the setting, its value and the allowed values.
        """
        for name, kind in _NAMED.items():
            value = getattr(self, name)
            if value is None:
                continue
            if value not in list(kind):
                raise UserError(f"there is no {name} {value!r}; choose one of {', '.join(kind)}")
            object.__setattr__(self, name, kind(value))  # a text equals a member, but is none
        if self.recipe is not None and self.depth is not None:
            raise UserError(
                "two settings of how much to train: "
                f"recipe {self.recipe} and depth {self.depth}; give only one"
            )
        check_bounds(self)
