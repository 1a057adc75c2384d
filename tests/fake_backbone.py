"""A backbone whose forms are whatever functions a test gives it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

from headstart.backbones.backbone import Backbone, Tensors, Weights
from headstart.errors import BackboneError


def _no_network() -> Any:
    raise NotImplementedError("this backbone has no PyTorch form")


def _no_tensors() -> Any:
    raise BackboneError("this backbone does not give its weights out")


def _no_graph(**_options: Any) -> Any:
    raise NotImplementedError("this backbone has no OpenVINO form")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FakeBackbone(Backbone):
    """`dataclasses.replace` exchanges any of its forms.

    Attributes:
        network: builds the PyTorch form.
        graph: builds the OpenVINO form.
        tensors: returns the weights.
        refilled: makes the same backbone with other weights.
        has_graph: whether engines are to use `graph`.
        any_size: whether it takes images of other sizes.
    """

    network: Callable[[], Any] = _no_network
    graph: Callable[..., Any] = _no_graph
    tensors: Callable[[], Tensors] = _no_tensors
    refilled: Callable[[Backbone, Tensors], Backbone] | None = None
    has_graph: bool = True
    any_size: bool = True

    def refill(self, tensors: Tensors, weights: Weights) -> Backbone:
        if self.refilled is None:
            raise BackboneError(f"{self.name} takes no other weights")
        return replace(self.refilled(self, tensors), weights=weights)

    def moments_graph(self, fresh: bool) -> Any:
        raise NotImplementedError("this backbone has no batch normalization")
