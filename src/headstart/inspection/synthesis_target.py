"""Targets of ideal images: a class or a group, a channel of a stage, or one unit of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.backbones.imagenet_names import find_classes, plain
from headstart.backbones.staged import on_grid
from headstart.backbones.stages import check_stages
from headstart.errors import UserError
from headstart.images.preprocessing import Preprocessing
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.synthesis.ascent import StopCriterion
from headstart.inspection.synthesis.objective import Objective, activation, probability
from headstart.inspection.synthesis.recipe import SynthesisRecipe

_GOAL = 0.98  # in float32, so that bfloat16 still gives `ideal_image.TARGET_PROBABILITY`


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """A class of the network, or any of a group.

    Attributes:
        name: the network's name of the class, or the name of the group.
        indices: indices of the logits.
    """

    name: str
    indices: tuple[int, ...]

    def preprocessing(self, model: DifferentiableModel) -> Preprocessing:
        """Return how the pixels that the objective takes are made from an image."""
        return model.preprocessing

    def objective(
        self, model: DifferentiableModel, recipe: SynthesisRecipe
    ) -> tuple[Objective, StopCriterion | None]:
        """Return what to maximize, and the goal."""

        # Images are on the CPU, where a seed gives the same noise on every machine.
        def logits(pixels: Tensor) -> Tensor:
            return model.logits(pixels.to(model.device))

        goal = StopCriterion(probability(logits, self.indices), _GOAL)
        return recipe.class_objective(logits, self.indices), goal


@dataclass(frozen=True, slots=True)
class UnitTarget:
    """A channel of a stage, or one unit of it.

    Attributes:
        stage: name of the stage.
        channel: index from 0.
        at: row and column of the unit, from 0; None for the channel's mean.
        view: name of the view whose network has the stage; None for the first.
    """

    stage: str
    channel: int
    at: tuple[int, int] | None = None
    view: str | None = None

    @property
    def name(self) -> str:
        """A name to display."""
        position = "" if self.at is None else f" at {self.at[0]},{self.at[1]}"
        return f"{self.stage} channel {self.channel}{position}"

    def preprocessing(self, model: DifferentiableModel) -> Preprocessing:
        """Return how the pixels that the objective takes are made from an image."""
        return model.view(self.view).preprocessing

    def objective(
        self, model: DifferentiableModel, recipe: SynthesisRecipe
    ) -> tuple[Objective, StopCriterion | None]:
        """Return what to maximize; there is no goal."""
        del recipe
        view = model.view(self.view)

        def maps(pixels: Tensor) -> Tensor:
            return on_grid(view.network.activations(pixels.to(view.device))[self.stage])

        return activation(maps, self.channel, self.at), None


Target = ClassTarget | UnitTarget


def class_target(network: InspectedNetwork, name: str) -> ClassTarget:
    """Find a class, or a group of classes, by its name or number.

    Raises:
        DataError: there is no such class or group; the message suggests similar names.
    """
    classes = network.differentiable.classes
    indices = find_classes(name, classes)
    return ClassTarget(classes[indices[0]] if len(indices) == 1 else plain(name), indices)


def unit_target(
    network: InspectedNetwork,
    stage: str,
    channel: int,
    at: tuple[int, int] | None = None,
    *,
    view: str | None = None,
) -> UnitTarget:
    """Check that the network has a channel, or a unit.

    Raises:
        BackboneError: there is no such stage.
        UserError: there is no such view, channel, or position in it.
    """
    seen = network.differentiable.view(view)
    check_stages(seen.name, seen.network.stages, [stage])
    with torch.no_grad():
        side = seen.preprocessing.crop
        blank = torch.zeros(1, 3, side, side, device=seen.device)
        channels, height, width = on_grid(seen.network.activations(blank)[stage]).shape[1:]
    if not 0 <= channel < channels:
        raise UserError(
            f"stage {stage} has no channel {channel}; its channels are 0 to {channels - 1}"
        )
    if at is not None and not (0 <= at[0] < height and 0 <= at[1] < width):
        raise UserError(
            f"stage {stage} has no unit at {at[0]},{at[1]}; its rows are 0 to {height - 1}, its "
            f"columns 0 to {width - 1}"
        )
    return UnitTarget(stage, channel, at, view)
