"""The interface of all attribution methods."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from headstart.backbones.staged import ForwardPass
from headstart.errors import MissingExtraError

BATCH = 16
"""Images of one view whose gradients fit into memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFunctions:
    """What a method may compute with a network; pixels are (B, 3, H, W) in [0, 1].

    Attributes:
        logits: pixels to (B, K), differentiable.
        fast_logits: pixels to (B, K) without gradients, by the inference engine, which rounds
            pixels to 8 bits; several times as fast on CPUs.
        forward_pass: pixels to the maps of all stages and logits, connected for gradients.
        stages: names of the stages to take a map from, the preferred one first.
        batch: number of images whose gradients fit into memory at a time.
    """

    logits: Callable[[Tensor], Tensor]
    fast_logits: Callable[[Tensor], Tensor]
    forward_pass: Callable[[Tensor], ForwardPass]
    stages: tuple[str, ...]
    batch: int = BATCH


@dataclass(frozen=True, slots=True, eq=False)
class Relevance:
    """The result of a method.

    Attributes:
        values: (B, H, W), signed; positive values support the class.
        stage: name of the stage whose map this is; None for methods that work on pixels.
        positions: number of positions of the stage's map; None if that is H x W.
    """

    values: Tensor
    stage: str | None = None
    positions: int | None = None


class AttributionMethod(ABC):
    """A way to find the pixels that a class depends on; constructed without arguments."""

    uses_stage: ClassVar[bool] = False
    """Whether the method reads `NetworkFunctions.stages`."""
    forward_passes: ClassVar[int] = 0
    """About how often the method runs an image without gradients."""
    gradient_passes: ClassVar[int] = 1
    """About how often it computes gradients for an image."""

    @abstractmethod
    def attribute(self, network: NetworkFunctions, pixels: Tensor, targets: Tensor) -> Relevance:
        """Explain one class of each image.

        Args:
            network: the network's functions.
            pixels: (B, 3, H, W) in [0, 1].
            targets: (B,) int64, indices of the classes to explain.
        """


def captum_attr(method: str) -> Any:
    """Import `captum.attr`, on which `method` is built.

    Raises:
        MissingExtraError: captum is not installed.
    """
    try:
        import captum.attr  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError(method, extra="explain") from None
    return captum.attr
